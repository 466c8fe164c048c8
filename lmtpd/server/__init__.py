"""Sockets, greenlets and processes: the only folder that may import gevent."""


def patch() -> None:
    """Make the standard library cooperative; before anything imports ssl, dnspython or a hook."""
    from gevent import config, monkey

    # Who has spawned a greenlet, and from where, is asked by nobody; each would keep it.
    config.track_greenlet_tree = False
    monkey.patch_all()
