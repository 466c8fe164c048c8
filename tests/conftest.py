"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.certificates import Certificate, make_certificate

# The machine may be busy: a slow example is no failure, and the same examples come every time.
settings.register_profile("lmtpd", deadline=None, derandomize=True)
settings.load_profile("lmtpd")

# What the tests of these folders share takes long to make: one process has all of them.
_TOGETHER = ("backends", "package")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the work (`make test`), each takes whole files."""
    for item in items:
        folder = item.path.parent
        group = folder if folder.name in _TOGETHER else item.path
        item.add_marker(pytest.mark.xdist_group(str(group)))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What a server with TLS is configured with."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
