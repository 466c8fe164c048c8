"""Sockets, greenlets and processes: the only folder that may import gevent."""


def patch() -> None:
    """Make the standard library cooperative; before anything imports ssl, dnspython or a hook."""
    from gevent import monkey

    monkey.patch_all()
