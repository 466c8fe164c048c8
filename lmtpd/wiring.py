"""From a Config to Services: the only file that names concrete classes."""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Callable
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeVar

from .config import Config, ConfigError
from .delivery.agent import DeliveryAgent, Job, Outcome
from .delivery.budget import Budget
from .delivery.commit import CommitMode, GroupCommit
from .delivery.disk import Disk
from .delivery.duplicates import Duplicates, Unconfirmed
from .delivery.homes import Homes, HomeStore
from .delivery.layout import Layout, is_home
from .delivery.maildir import MaildirStore
from .delivery.message import Message
from .delivery.mounts import mount_below
from .delivery.room import LOOK_AT_DISK_S, Room
from .delivery.store import MailboxStore, Place
from .delivery.stuck import StuckMailboxes
from .delivery.tree import MaildirTree
from .failures import StoreError
from .meter import Meter
from .protocol import replies
from .protocol.extensions import Extensions
from .protocol.limits import FEWEST_RECIPIENTS, Limits
from .recipients.chain import Link, VerifierChain
from .recipients.fail_open import FailOpen
from .recipients.guard import GuardedHook
from .recipients.loader import HookError, load_hooks
from .recipients.memory import Memory
from .recipients.policy import Policy
from .recipients.process import Deadline, Event, Process, Report
from .recipients.table_file import LOOK_S, TableFile
from .record import Record
from .services import Runtime, Services
from .shipped import Shipped, homes_of_users, rules_of
from .trusted_names import TrustedNames

T = TypeVar("T")

_Deliver = Callable[[Job], tuple[Outcome, ...]]

_FILES_EACH = 4
"""Open files for a copy: its own, tmp/ and new/; and something remains for all else."""
_MOST_FILES = 2**20


def tree(config: Config, disk: Disk | None = None) -> MaildirTree:
    """The directories of the store.

    Raises:
        ConfigError: the root cannot be opened.
    """
    try:
        marker = config.lmtp_maildir_marker or ""
        return MaildirTree(config.lmtp_maildir_root, disk or Disk(), marker)
    except (OSError, StoreError) as error:
        raise ConfigError([f"lmtp-maildir-root: {error}"]) from error


def store(config: Config, directories: MaildirTree) -> MaildirStore:
    """The mailboxes."""
    return MaildirStore(Layout(config.lmtp_maildir_path), directories, config.lmtp_hostname)


def store_of(
    config: Config, mailbox: str, disk: Disk | None = None
) -> tuple[MaildirStore, MaildirTree, Place]:
    """The store that one mailbox is in, its directories, and where it lies below their root.

    Args:
        config: the settings.
        mailbox: its name.
        disk: the operating system for all mailboxes but those in homes, unless it shall be another.

    Raises:
        ConfigError: the root cannot be opened.
        OSError, StoreError: it cannot be told, or there is no such place.
    """
    private = homes(config)
    if private and is_home(mailbox):
        user, _ = private.find(mailbox)
        directories = MaildirTree(Path(user.home), private.disk(user))
        below = private.layout.parts(mailbox)
        return MaildirStore(private.layout, directories, config.lmtp_hostname), directories, below
    directories = tree(config, disk)
    found = store(config, directories)
    return found, directories, found.locate(mailbox)


def homes(config: Config) -> Homes | None:
    """Those of the system's users, if they get mail."""
    return homes_of_users(config) if "passwd" in config.lmtp_recipient_hooks else None


def folder(config: Config, mailbox: str) -> Path:
    """Where delivery to a mailbox goes, for people.

    Raises:
        OSError, StoreError: it cannot be told, or there is no such place.
    """
    private = homes(config)
    if private and is_home(mailbox):
        return private.folder(mailbox)
    return config.lmtp_maildir_root.joinpath(*Layout(config.lmtp_maildir_path).parts(mailbox))


def process(within: Deadline, new_event: Callable[[], Event], report: Report) -> Process:
    """What hooks are asked with, by the real clock and real dice."""
    return Process(within, new_event, time.monotonic, random.random, report)


def verifier(
    config: Config,
    directories: MaildirTree,
    asking: Process,
    watched: Callable[[GuardedHook], Link] = lambda hook: hook,
    kept_up: Callable[[TableFile], object] = lambda _: None,
    private: Homes | None = None,
) -> VerifierChain:
    """The chain of `lmtp-recipient-hooks`.

    Args:
        config: the settings.
        directories: the store.
        asking: how hooks are waited for.
        watched: puts something between the chain and a hook.
        kept_up: has a table's file looked at from time to time.
        private: the homes of users, if they get mail and delivery knows the same.

    Raises:
        ConfigError: a hook cannot be had.
    """
    layout = Layout(config.lmtp_maildir_path)
    rules = rules_of(config)
    private = private or homes(config)
    shipped = Shipped(directories, private, asking, kept_up)

    def check(mailbox: str) -> object:
        place = private.layout if private and is_home(mailbox) else layout
        return place.parts(mailbox)

    policy = Policy(
        deadline_s=config.lmtp_hook_timeout,
        positive_ttl_s=config.lmtp_verify_positive_ttl,
        negative_ttl_s=config.lmtp_verify_negative_ttl,
        stale_s=config.lmtp_verify_stale,
        cache_size=config.lmtp_verify_cache_size,
        jitter=config.lmtp_verify_jitter / 100,
        faults=config.lmtp_hook_faults,
        longest_pause_s=config.lmtp_hook_pause,
    )
    try:
        hooks = load_hooks(config.lmtp_recipient_hooks, shipped.hooks, config)
        links = [
            watched(GuardedHook(name, hook, asking, check, policy.of(name, hook)))
            for name, hook in hooks
        ]
    except HookError as error:
        raise ConfigError([str(error)]) from error
    domains = config.lmtp_fail_open_domains
    fail_open = FailOpen(domains, layout.parts, asking.report) if domains else None
    return VerifierChain(links, rules, config.lmtp_verify_timeout, asking.clock, fail_open)


def names(config: Config, spawn: Callable[..., object]) -> Callable[[str], str]:
    """The look-up of clients' names."""
    if not config.lmtp_dns:
        return lambda _: ""
    # Here, not above: dnspython is slow to import, and only a server needs it.
    from .dns import PeerNames

    return PeerNames(spawn, config.lmtp_dns_server).name_of


def trusted_names(
    config: Config,
    spawn: Callable[..., object],
    repeat: Callable[[float, Callable[[], object]], object],
    report: Callable[..., object],
) -> TrustedNames:
    """The look-up of the names of trusted peers."""

    def ask(name: str, kind: str, seconds: float) -> tuple[list[str], float]:
        from .dns import records  # slow to import, and mostly there is no name

        return records(name, kind, config.lmtp_dns_server, seconds)

    return TrustedNames(ask, spawn, repeat, report)


def _agent(
    config: Config, mailboxes: MailboxStore, unconfirmed: Unconfirmed, meter: Meter
) -> DeliveryAgent:
    quota = replies.MAILBOX_FULL if config.lmtp_quota_tempfail else replies.QUOTA_EXCEEDED
    return DeliveryAgent(
        mailboxes,
        GroupCommit(CommitMode(config.lmtp_commit), seconds=meter.sync, sizes=meter.group),
        Duplicates(mailboxes, unconfirmed, config.lmtp_repetition_window),
        config.lmtp_hostname,
        quota,
        has_delivered_to=config.lmtp_delivered_to,
    )


def _checked(private: Homes) -> Homes:
    try:
        private.check()
    except OSError as error:
        text = (
            "lmtp-recipient-hooks: passwd delivers with the rights of each user, and lmtpd may not"
            f" take them: {error}; run it as root, or add AmbientCapabilities=CAP_SETUID CAP_SETGID"
            " to its unit"
        )
        raise ConfigError([text]) from error
    return private


def _limits(config: Config) -> Limits:
    return Limits(
        message_octets=config.lmtp_max_message_size,
        recipients=config.lmtp_max_recipients,
        copies=_copies(),
        errors=_or_endless(config.lmtp_max_errors),
        noops=_or_endless(config.lmtp_max_noops),
        commands=_or_endless(config.lmtp_max_commands),
        idle_s=config.lmtp_idle_timeout,
        command_s=config.lmtp_command_timeout,
        data_s=config.lmtp_data_timeout,
        transaction_s=config.lmtp_transaction_timeout,
    )


def _copies() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if most == resource.RLIM_INFINITY else min(most, _MOST_FILES)
    return max(files // _FILES_EACH, FEWEST_RECIPIENTS)


def _or_endless(most: int | None) -> float:
    return inf if most is None else most


def _none_stuck(config: Config) -> StuckMailboxes:
    root, layout = os.path.realpath(config.lmtp_maildir_root), Layout(config.lmtp_maildir_path)

    def path_of(mailbox: str) -> str:
        """Where it lies; of homes it would have to be asked, and they may hang."""
        return "" if is_home(mailbox) else "/".join((root, *layout.parts(mailbox)))

    return StuckMailboxes(path_of, partial(mount_below, root))


def _share_of_memory(config: Config) -> int | None:
    """A worker's; each counts its own, so that none waits for another."""
    budget = config.lmtp_memory_budget
    return None if budget is None else budget // config.lmtp_workers


def _apart(deliver: _Deliver, deliver_to_homes: _Deliver) -> _Deliver:
    """Homes have a thread of their own: one that hangs, or NSS, stops no other mail."""

    def chosen(job: Job) -> tuple[Outcome, ...]:
        mailboxes = (mailbox for one in job.envelope.recipients for mailbox in one.mailboxes)
        return deliver_to_homes(job) if any(map(is_home, mailboxes)) else deliver(job)

    return chosen


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

    def kept_up(table: TableFile) -> None:
        runtime.repeat(LOOK_S, lambda: table.refresh(runtime.offload))

    guarded: list[GuardedHook] = []

    def noted(hook: GuardedHook) -> GuardedHook:
        guarded.append(hook)
        return hook

    directories, private = tree(config, disk), homes(config)
    budget = Budget(_share_of_memory(config))
    room = Room(directories, config.lmtp_disk_reserve or 0, budget)
    if config.lmtp_disk_reserve is not None:
        room.look()
        runtime.repeat(LOOK_AT_DISK_S, lambda: runtime.offload(room.look))
    asking = process(runtime.within, runtime.new_event, runtime.log.line)
    chain = verifier(config, directories, asking, noted, kept_up, private)

    def new_agent() -> DeliveryAgent:
        return _agent(config, store(config, directories), unconfirmed, runtime.meter)

    stuck = _none_stuck(config)
    deliver = runtime.delivering(new_agent, stuck)
    if private:
        checked = _checked(private)

        def new_agent_for_homes() -> DeliveryAgent:
            in_homes = HomeStore(checked, store(config, directories), config.lmtp_hostname)
            return _agent(config, in_homes, unconfirmed, runtime.meter)

        deliver = _apart(deliver, runtime.delivering(new_agent_for_homes, stuck))
    return Services(
        host=config.lmtp_hostname,
        default_domain=config.lmtp_default_domain,
        limits=_limits(config),
        extensions=Extensions(
            starttls=bool(config.lmtp_cert_path),
            vrfy=config.lmtp_vrfy,
            dsn=config.lmtp_dsn,
            xforward=config.lmtp_xforward,
        ),
        verifier=chain,
        memory=Memory(guarded, rules_of(config)),
        agent=new_agent(),
        deliver=deliver,
        stuck=stuck,
        unconfirmed=unconfirmed,
        room=room,
        new_message=lambda is_binary, lead: Message(directories, lead, budget, is_binary=is_binary),
        # To be unique is enough, and it costs no system call; seeded anew in each worker.
        new_id=lambda: f"{random.getrandbits(64):016x}",  # nosec B311 # no secret: peers are told
        name_of=names(config, runtime.spawn),
        resolved=trusted_names(config, runtime.spawn, runtime.repeat, runtime.log.line).resolved,
        write_out=runtime.write_out,
        log=runtime.log,
        meter=runtime.meter,
        record=Record(runtime.log, runtime.meter),
        is_stopping=runtime.is_stopping,
    )
