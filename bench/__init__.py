"""The benchmark: lmtpd beside Dovecot, a peer in Python and a floor in C. See README.md here."""
