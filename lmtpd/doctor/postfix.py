"""Postfix: does its configuration hand the mail of our domains to this lmtpd?

It is asked by its own tools, so that what counts is what it has read; MAIL_CONFIG in the
environment names the configuration of another instance, as it does for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .. import recipes
from ..config import Config
from . import domains
from .finding import Finding, Findings, note, ok, warn
from .postfix_table import is_listed, looked_up
from .postfix_way import Way, judged
from .programs import ProgramError, found, said

_NAMES = (
    *("mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains"),
    *("local_transport", "mailbox_transport", "virtual_transport", "relay_transport"),
    *("transport_maps", "queue_directory", "mail_owner", "lmtp_tcp_port", "inet_interfaces"),
    *("lmtp_bind_address", "lmtp_tls_wrappermode", "lmtp_tls_security_level", "lmtp_use_tls"),
    *("smtpd_recipient_restrictions", "smtpd_relay_restrictions", "smtpd_client_restrictions"),
    *("smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_data_restrictions"),
    *("unverified_recipient_reject_code", "address_verify_negative_refresh_time"),
    *("local_recipient_maps", "virtual_mailbox_maps", "relay_recipient_maps"),
    *("message_size_limit", "lmtp_send_xforward_command"),
)
_CLASSES = (
    ("mydestination", "local_transport", "local_recipient_maps"),
    ("virtual_mailbox_domains", "virtual_transport", "virtual_mailbox_maps"),
    ("relay_domains", "relay_transport", "relay_recipient_maps"),
)
"""Address classes of Postfix: where a domain is listed, where its mail goes, whom it knows."""
_SHORT = re.compile(r"0|[1-9][0-9]{0,2}s?|[1-9]m|10m")
"""Ten minutes or less, mostly."""


def look(settings: Config) -> Findings:
    """Domain by domain; nothing where there is no Postfix."""
    if not found("postconf"):
        return
    try:
        values = _values()
    except ProgramError as error:
        yield note(f"it is there, and has no configuration that it can read: {error}")
        return
    known: set[str] = set()
    for domain in domains.of(settings):
        yield from _domain(settings, values, domain, known)
    if known:
        yield from _common(settings, values, known)


def _values() -> dict[str, str]:
    """Parameters, with what they refer to filled in."""
    lines = said("postconf", "-x", *_NAMES).splitlines()
    return {key.strip(): value.strip() for key, _, value in (one.partition("=") for one in lines)}


def _domain(
    settings: Config, values: dict[str, str], domain: str, known: set[str]
) -> Iterator[Finding]:
    """Where the mail of a domain goes; `known` gets the ways that lead here."""
    if is_listed(domain, values.get("virtual_alias_domains", "")):
        yield note(f"{domain} has aliases only: their mail goes where they lead")
        return
    classes = [one for one in _CLASSES if is_listed(domain, values.get(one[0], ""))]
    if not classes:
        yield warn(
            f"Postfix takes no mail for {domain}: neither mydestination, virtual_mailbox_domains"
            " nor relay_domains holds it",
            f"postconf -e 'virtual_mailbox_domains = {domain}' '{_wanted(settings)}'"
            " && postfix reload",
        )
        return
    listed, parameter, maps = classes[0]
    transport = looked_up(domain, values.get("transport_maps", ""))
    source = "transport_maps" if transport else parameter
    if not transport or transport.startswith(":"):
        transport = values.get(parameter, "")
        if parameter == "local_transport" and transport.partition(":")[0] == "local":
            source, transport = "mailbox_transport", values.get("mailbox_transport") or transport
    way = Way.read(transport, domain, values)
    faults = [*judged(way, settings, values)]
    here = not any(fault.level.value == "FAIL" for fault in faults)
    if here:
        known.add(way.service)
        yield ok(f"{domain} ({listed}) goes to {transport} ({source}), which is here")
    for fault in faults:
        remedy = fault.remedy or f"postconf -e '{_wanted(settings, source)}' && postfix reload"
        yield Finding(fault.level, f"{domain} ({source}): {fault.text}", remedy)
    if here and not values.get(maps) and not _verifies(values):
        yield warn(
            f"{domain}: whoever does not exist is accepted, and bounced to senders that are forged",
            "postconf -e 'smtpd_recipient_restrictions = reject_unverified_recipient'"
            " 'unverified_recipient_reject_code = 550' && postfix reload",
        )


def _wanted(settings: Config, parameter: str = "virtual_transport") -> str:
    """The line that leads here, as `lmtpd setup postfix` prints it."""
    try:
        lines = recipes.lines("postfix", settings).splitlines()
    except recipes.RecipeError as error:
        return f"{parameter} = ... ({error})"
    (value,) = (one.partition(" = ")[2] for one in lines if one.startswith("virtual_transport"))
    return f"{parameter} = {value}"


def _verifies(values: dict[str, str]) -> bool:
    restrictions = (value for key, value in values.items() if key.endswith("_restrictions"))
    return any("reject_unverified_recipient" in one for one in restrictions)


def _common(settings: Config, values: dict[str, str], services: set[str]) -> Findings:
    """What is the same for all domains."""
    if _verifies(values):
        code = values.get("unverified_recipient_reject_code", "")
        if code != "550":
            yield warn(
                f"unknown recipients hear {code}, and their senders try again for days",
                "postconf -e 'unverified_recipient_reject_code = 550' && postfix reload",
            )
        refresh = values.get("address_verify_negative_refresh_time", "")
        if not _SHORT.fullmatch(refresh):
            yield note(
                f"what was unknown, or could not be asked, stays so for {refresh}",
                "postconf -e 'address_verify_negative_refresh_time = 5m' && postfix reload",
            )
    most, ours = values.get("message_size_limit", ""), settings.lmtp_max_message_size
    if most.isdecimal() and (most == "0" or int(most) > ours):
        yield warn(
            f"message_size_limit = {most}, and lmtp-max-message-size is {ours}: what is between"
            " them is taken and bounced",
            f"postconf -e 'message_size_limit = {ours}' && postfix reload",
        )
    if values.get("lmtp_send_xforward_command") == "no":
        yield note(
            "our log does not learn Postfix's queue id",
            "postconf -e 'lmtp_send_xforward_command = yes' && postfix reload",
        )
    for service in sorted(services):
        name = f"{service}_destination_recipient_limit"
        if said("postconf", "-h", "-x", name).strip() == "1":
            yield note(
                f"{name} = 1: a message to many comes here as often, for nothing",
                f"postconf -X {name} && postfix reload",
            )
