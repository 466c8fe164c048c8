"""An address as it was typed."""

from __future__ import annotations

import os

from ..config import Config
from ..protocol.address import Address, AddressError
from ..terminal import CommandError


def address_of(settings: Config, text: str) -> Address:
    """The address, in the default domain if it has none; angle brackets do not matter.

    Raises:
        CommandError: it is none.
    """
    try:
        address = Address.parse(text.removeprefix("<").removesuffix(">"))
    except AddressError as error:
        raise CommandError(os.EX_USAGE, f"{text!r} is no address: {error}") from error
    return address.in_domain(settings.lmtp_default_domain)
