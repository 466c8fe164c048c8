"""From a Config to Services: the only file that names concrete classes."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from .config import Config, ConfigError
from .delivery.agent import DeliveryAgent
from .delivery.commit import CommitMode, GroupCommit
from .delivery.disk import Disk
from .delivery.duplicates import Duplicates, Unconfirmed
from .delivery.layout import Layout
from .delivery.maildir import MaildirStore
from .delivery.message import Message
from .delivery.tree import MaildirTree
from .protocol import replies
from .protocol.extensions import Extensions
from .protocol.limits import Limits
from .recipients.chain import AddressRules, Deadline, Deadlines, VerifierChain
from .recipients.loader import HookError, load_hooks
from .recipients.maildirs import MaildirsVerifier
from .recipients.table import TableVerifier
from .recipients.verdict import RecipientVerifier
from .services import Runtime, Services


def tree(config: Config, disk: Disk | None = None) -> MaildirTree:
    """The directories of the store.

    Raises:
        ConfigError: the root cannot be opened.
    """
    try:
        return MaildirTree(config.lmtp_maildir_root, disk or Disk())
    except OSError as error:
        raise ConfigError([f"lmtp-maildir-root: {error}"]) from error


def store(config: Config, directories: MaildirTree) -> MaildirStore:
    """The mailboxes."""
    return MaildirStore(Layout(config.lmtp_maildir_path), directories, config.lmtp_hostname)


def verifier(config: Config, directories: MaildirTree, within: Deadline) -> VerifierChain:
    """The chain of `lmtp-recipient-hooks`.

    Raises:
        ConfigError: a hook cannot be had.
    """
    layout = Layout(config.lmtp_maildir_path)
    rules = AddressRules(config.lmtp_recipient_delimiter, config.lmtp_case_sensitive)

    def maildirs(_: Config) -> RecipientVerifier:
        return MaildirsVerifier(layout, directories)

    def table(_: Config) -> RecipientVerifier:
        path = config.lmtp_recipient_table
        if path is None:
            raise HookError("hook table: lmtp-recipient-table is not set")
        return TableVerifier.read(path, config.lmtp_default_domain, rules)

    shipped = {"maildirs": maildirs, "table": table}
    try:
        hooks = load_hooks(config.lmtp_recipient_hooks, shipped, config)
    except HookError as error:
        raise ConfigError([str(error)]) from error
    deadlines = Deadlines(config.lmtp_hook_timeout, config.lmtp_verify_timeout)
    return VerifierChain(hooks, within, time.monotonic, layout.parts, rules, deadlines)


def names(config: Config, spawn: Callable[..., object]) -> Callable[[str], str]:
    """The look-up of clients' names."""
    if not config.lmtp_dns:
        return lambda _: ""
    # Here, not above: dnspython is slow to import, and only a server needs it.
    from .dns import PeerNames

    return PeerNames(spawn, config.lmtp_dns_server).name_of


def services(
    config: Config, runtime: Runtime, unconfirmed: Unconfirmed, disk: Disk | None = None
) -> Services:
    """Everything that a session touches.

    Args:
        config: the settings.
        runtime: what the process offers.
        unconfirmed: the deliveries of which clients may not know.
        disk: the operating system, unless it shall be another.

    Raises:
        ConfigError: a part cannot be made.
    """
    directories = tree(config, disk)
    quota = replies.MAILBOX_FULL if config.lmtp_quota_tempfail else replies.QUOTA_EXCEEDED
    mailboxes = store(config, directories)
    agent = DeliveryAgent(
        mailboxes,
        GroupCommit(CommitMode(config.lmtp_commit)),
        Duplicates(mailboxes, unconfirmed, config.lmtp_repetition_window),
        config.lmtp_hostname,
        quota,
        has_delivered_to=config.lmtp_delivered_to,
    )
    return Services(
        host=config.lmtp_hostname,
        default_domain=config.lmtp_default_domain,
        limits=Limits(config.lmtp_max_message_size, config.lmtp_max_recipients),
        extensions=Extensions(
            starttls=config.lmtp_cert_path is not None,
            vrfy=config.lmtp_vrfy,
            dsn=config.lmtp_dsn,
            xforward=config.lmtp_xforward,
        ),
        trust=config.lmtp_trusted_ips,
        verifier=verifier(config, directories, runtime.within),
        agent=agent,
        deliver=runtime.delivering(agent),
        unconfirmed=unconfirmed,
        new_message=lambda is_binary, lead: Message(directories, lead, is_binary=is_binary),
        # To be unique is enough, and it costs no system call; seeded anew in each worker.
        new_id=lambda: f"{random.getrandbits(64):016x}",
        name_of=names(config, runtime.spawn),
        offload=runtime.offload,
        log=runtime.log,
        is_stopping=runtime.is_stopping,
    )
