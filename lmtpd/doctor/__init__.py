"""`lmtpd.py doctor`: what goes wrong in practice, looked for on this machine, with what mends it.

It changes nothing but files of its own, which it takes away again.
"""
