"""Every MTA that the tests know, and which of them a test is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.support.exim import Exim
from tests.support.mta import Mta
from tests.support.opensmtpd import OpenSmtpd
from tests.support.postfix import Postfix
from tests.support.sendmail import Sendmail

MTAS: tuple[type[Mta], ...] = (Postfix, Exim, OpenSmtpd, Sendmail)

# By the name of the MTA: why nothing of it arrives, so that its checks are not made.
_SHUT_OUT = {"opensmtpd": "its own Delivered-To is taken for a mail loop"}


def mtas(
    *features: str, without: str = "", known: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """Run a test with each MTA that has these features, and has not the one; fixture `kind`.

    `known` are faults that are known and not mended yet, by the name of the MTA.
    """
    chosen = [
        pytest.param(one, id=one.name, marks=[*_marks(one.name, known or {})])
        for one in MTAS
        if one.features.issuperset(features) and without not in one.features
    ]
    return pytest.mark.parametrize("kind", chosen, indirect=True)


def _marks(name: str, known: Mapping[str, str]) -> Iterator[pytest.MarkDecorator]:
    if name in _SHUT_OUT:
        yield pytest.mark.xfail(reason=_SHUT_OUT[name], run=False)
    elif name in known:
        yield pytest.mark.xfail(reason=known[name], strict=False)
