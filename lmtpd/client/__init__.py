"""An LMTP client (RFC 2033): one message to many recipients, one reply for each of them.

`dialogue.py`, `reader.py` and `stuffing.py` touch no socket, so that every word can be tried in
memory; `connection.py` carries them out with blocking sockets. Nothing here imports gevent, and
`ssl` only where TLS is asked for: a program that is run for each message has to start quickly.
"""
