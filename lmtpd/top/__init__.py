"""`lmtpd top`: the status page in a terminal.

It asks the process of `status/` over HTTP, as a browser does, and draws with rich.
"""
