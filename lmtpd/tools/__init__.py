"""Commands for a person: send a message, look after mailboxes, follow a message to its file.

Each module carries out one command or is a part of one; `arguments.py` has the words of all. They
meet the store by the code that delivers, so that a name or a step never differs.
"""
