"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

from tests.support.certificates import Certificate, make_certificate

# The machine may be busy: a slow example is no failure, and the same examples come every time.
settings.register_profile("lmtpd", deadline=None, derandomize=True)
settings.load_profile("lmtpd")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What a server with TLS is configured with."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))
