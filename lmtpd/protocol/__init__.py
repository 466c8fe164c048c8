"""The wire: bytes become events, replies become bytes.

Standard library only, beside `idna` for the tables of internationalised domains (RFC 5891). No
socket, file, clock, thread or log is touched here, so that every word of the protocol can be tried
in memory.
"""
