"""The parts of the soak: who sends, who reads, what goes wrong meanwhile, and what is promised."""
