"""`lmtpd.py bridge`: LMTP for MTAs and mail programs that do not speak it over TCP.

One shape of caller, one file: `relay.py` for those that speak LMTP to a program (Sendmail),
`qmail.py` for qmail, `pipe.py` for all that pipe. docs/BRIDGE.md says how each is set up.
"""
