"""What the process that tells the status leaves to its successor."""

from __future__ import annotations

import os

from lmtpd.status.keepsake import Keepsake


def test_the_newest_is_read() -> None:
    keepsake = Keepsake()
    assert keepsake.read() is None
    for number in range(5):
        keepsake.write(b"%d" % number * (10 - number))
        assert keepsake.read() == b"%d" % number * (10 - number)


def test_a_writing_that_was_cut_off_leaves_the_one_before() -> None:
    for octets in range(40):
        keepsake = Keepsake()
        keepsake.write(b"before")
        keepsake.write(b"after, and longer")
        newest = keepsake.files[keepsake._number % 2]
        os.ftruncate(newest, octets)
        whole = octets >= 20 + len("after, and longer")
        assert keepsake.read() == (b"after, and longer" if whole else b"before")
        keepsake.write(b"again")
        assert keepsake.read() == b"again"


def test_where_there_is_no_such_memory_nothing_is_kept() -> None:
    keepsake = Keepsake()
    for file in keepsake.files:
        os.close(file)
    keepsake.write(b"lost")
    assert keepsake.read() is None
