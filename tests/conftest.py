"""What all tests share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from tests.support.certificates import Certificate, make_certificate

# The machine may be busy: a slow example is no failure, and the same examples come every time.
settings.register_profile("lmtpd", deadline=None, derandomize=True)
settings.load_profile("lmtpd")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Where several processes share the work."""
    from tests.support.sharing import Sharing

    return Sharing(config, log)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What a server with TLS is configured with."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
