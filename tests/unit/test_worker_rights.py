"""Who the workers are when root has started lmtpd, and what is said at start that they may not."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lmtpd import config
from lmtpd.config import Config, ConfigError
from lmtpd.worker_rights import ids_of, rights_of_workers, why_unreadable
from tests.support.accounts import Account, Accounts

NOBODY = pwd.getpwnam("nobody")

Load = Callable[[Mapping[str, object]], Config]


@pytest.fixture(scope="module")
def accounts() -> Iterator[Accounts]:
    with Accounts() as accounts:
        yield accounts


@pytest.fixture(scope="module")
def worker(accounts: Accounts) -> Account:
    return accounts.add("w")


@pytest.fixture
def loads(accounts: Accounts, worker: Account) -> Load:
    """Settings with a root of the worker's, and files that the test makes beside it."""
    root = accounts.folder / "maildirs"
    root.mkdir(exist_ok=True)
    os.chown(root, worker.uid, worker.gid)

    def load(settings: Mapping[str, object]) -> Config:
        given = {key: str(value) for key, value in settings.items()}
        return config.load(None, {}, {"lmtp-maildir-root": str(root), **given})

    return load


def closed(accounts: Accounts, name: str, mode: int = 0o600, group: int = 0) -> Path:
    """A file of root's."""
    path = accounts.folder / name
    path.touch()
    path.chmod(mode)
    os.chown(path, 0, group)
    return path


def faults(loads: Load, **settings: object) -> str:
    with pytest.raises(ConfigError) as caught:
        loads({key.replace("_", "-"): value for key, value in settings.items()})
    return str(caught.value)


def warnings(loads: Load, **settings: object) -> list[str]:
    loaded = loads({key.replace("_", "-"): value for key, value in settings.items()})
    return [one for one in loaded.warnings if "lmtp-hostname" not in one]


def test_no_user_is_the_one_who_starts_it() -> None:
    assert ids_of(Config()) is None


def test_a_user_comes_with_its_groups(worker: Account) -> None:
    ids = ids_of(Config(lmtp_user=worker.name))
    assert ids is not None
    assert (ids.uid, ids.gid) == (worker.uid, worker.gid)
    assert worker.gid in ids.groups


def test_another_group_in_the_place_of_its_own(worker: Account) -> None:
    ids = ids_of(Config(lmtp_user=worker.name, lmtp_group="mail"))
    assert ids is not None
    assert ids.gid == grp.getgrnam("mail").gr_gid
    assert ids.gid in ids.groups


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"lmtp_user": "nobody-at-all"}, "there is no user nobody-at-all"),
        ({"lmtp_user": "nobody", "lmtp_group": "none-at-all"}, "there is no group none-at-all"),
        ({"lmtp_user": "root"}, "root is root, who may do everything"),
        ({"lmtp_group": "mail"}, "is the group of workers that become lmtp-user: set that too"),
        ({"lmtp_user": "a b"}, "'a b' is not the name of a user or a group"),
        ({"lmtp_sandbox": "on"}, "'on' is none of auto, required and off"),
        ({"lmtp_sandbox_writable": "/no/such/folder"}, "/no/such/folder: no such file or folder"),
        ({"lmtp_environment": "A=1;PATH"}, "'A=1' is not the name of a variable"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], fault: str, loads: Load) -> None:
    assert fault in faults(loads, **settings)


def test_names_of_variables(loads: Load) -> None:
    assert loads({"lmtp-environment": "ONE; TWO"}).lmtp_environment == {"ONE", "TWO"}
    assert loads({"lmtp-environment": "none"}).lmtp_environment == frozenset()


def test_what_hooks_read_has_to_be_readable_for_workers(
    accounts: Accounts, worker: Account, loads: Load
) -> None:
    table = closed(accounts, "table")
    settings = {"lmtp_recipient_table": table, "lmtp_recipient_hooks": "table"}
    assert warnings(loads, **settings) == []
    fault = faults(loads, **settings, lmtp_user=worker.name)
    assert f"{worker.name} cannot read {table} (lmtp-recipient-table): Permission denied" in fault
    os.chown(table, worker.uid, 0)
    assert warnings(loads, **settings, lmtp_user=worker.name) == []


def test_a_key_that_workers_cannot_read_is_renewed_by_a_restart(
    accounts: Accounts, worker: Account, loads: Load
) -> None:
    certificate, key = closed(accounts, "crt", 0o644), closed(accounts, "key")
    settings = {
        "lmtp_cert_path": certificate,
        "lmtp_key_path": key,
        "lmtp_user": worker.name,
    }
    (warning,) = warnings(loads, **settings)
    assert f"the renewal of {key} needs a restart, for {worker.name} cannot read it" in warning
    closed(accounts, "key", 0o640, worker.gid)
    assert warnings(loads, **settings) == []
    os.chown(key, NOBODY.pw_uid, worker.gid)
    assert warnings(loads, **settings) == [], "a group of ours alone reads it"
    os.chown(key, NOBODY.pw_uid, 0)
    key.chmod(0o644)
    (warning,) = warnings(loads, **settings)
    assert "can be read by others" in warning


def test_a_store_that_workers_cannot_write_to(
    accounts: Accounts, worker: Account, loads: Load
) -> None:
    root = accounts.folder / "foreign"
    root.mkdir()
    (warning,) = warnings(loads, lmtp_user=worker.name, lmtp_maildir_root=root)
    assert f"{worker.name} may not write in {root}" in warning


def test_who_is_not_there_lends_nothing() -> None:
    with rights_of_workers(Config(lmtp_user="nobody-at-all")) as are_theirs:
        assert not are_theirs


def test_who_is_not_root_lends_nothing(worker: Account) -> None:
    def look() -> None:
        with rights_of_workers(Config(lmtp_user="nobody")) as are_theirs:
            assert not are_theirs

    worker.does(look)


def test_rights_that_cannot_be_lent(monkeypatch: pytest.MonkeyPatch, worker: Account) -> None:
    """As for whoever is not root; a process of its own would not be seen by the coverage."""

    def refused(_: object) -> None:
        raise PermissionError(1, "no")

    monkeypatch.setattr("lmtpd.delivery.rights.Rights.check", refused)
    with rights_of_workers(Config(lmtp_user=worker.name)) as are_theirs:
        assert not are_theirs


def test_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    assert why_unreadable(tmp_path / "none") == "No such file or directory"
    (tmp_path / "there").touch()
    assert why_unreadable(tmp_path / "there") == ""
