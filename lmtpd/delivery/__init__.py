"""From a message to files: plain blocking calls that run on any thread.

Nothing here knows the dialogue, logs, counts or takes a lock: under gevent a lock shared between
the event loop and real threads has hung whole processes.
"""
