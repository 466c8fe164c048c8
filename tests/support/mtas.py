"""Every MTA that the tests know, and which of them a test is for."""

from __future__ import annotations

import pytest

from tests.support.exim import Exim
from tests.support.mta import Mta
from tests.support.opensmtpd import OpenSmtpd
from tests.support.postfix import Postfix
from tests.support.sendmail import Sendmail

MTAS: tuple[type[Mta], ...] = (Postfix, Exim, OpenSmtpd, Sendmail)


def mtas(*features: str, without: str = "") -> pytest.MarkDecorator:
    """Run a test with each MTA that has these features, and has not the one; fixture `kind`."""
    chosen = [
        pytest.param(one, id=one.name)
        for one in MTAS
        if one.features.issuperset(features) and without not in one.features
    ]
    return pytest.mark.parametrize("kind", chosen, indirect=True)
