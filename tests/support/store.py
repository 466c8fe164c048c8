"""The mail store that the dialogue files speak of."""

from __future__ import annotations

from pathlib import Path

MAILBOXES = (
    "alice@example.org",
    "bob@example.org",
    "carol@example.org",
    "postmaster@example.org",
    "postmaster@mx.example.org",
    "a b@example.org",
    "bob@xn--bcher-kva.example",
    "jürgen@example.org",
    "user@[192.0.2.1]",
)

TABLE = """\
# The table of the dialogue files.
sales@example.org       alice@example.org
team@example.org        alice@example.org, bob@example.org,
                        carol@example.org
halfsick@example.org    alice@example.org sick@example.org
welt@example.org        jürgen@example.org
sick@example.org
@example.org            postmaster@example.org
new@example.org
"""

SETTINGS = {
    "lmtp-hostname": "mx.example.org",
    "lmtp-recipient-hooks": "tests.support.fates:Fates;table;maildirs",
    "lmtp-dns": "false",
}


def make_store(folder: Path) -> tuple[Path, dict[str, str]]:
    """Make mailboxes and table below a folder; the store's root, and the settings for it."""
    root = folder / "maildirs"
    for mailbox in MAILBOXES:
        path(root, mailbox).mkdir(parents=True)
    # A mailbox that takes nothing: its tmp/ is a file.
    sick = path(root, "sick@example.org")
    sick.mkdir()
    (sick / "tmp").touch()
    table = folder / "table"
    table.write_text(TABLE, "utf-8")
    return root, SETTINGS | {
        "lmtp-maildir-root": str(root),
        "lmtp-recipient-table": str(table),
    }


def path(root: Path, mailbox: str) -> Path:
    """The directory of a mailbox."""
    local, _, domain = mailbox.rpartition("@")
    return root / domain / local


def messages(root: Path) -> dict[str, list[bytes]]:
    """Everything in new/, by mailbox."""
    found: dict[str, list[bytes]] = {}
    for file in sorted(root.glob("*/*/new/*")):
        local, domain = file.parts[-3], file.parts[-4]
        found.setdefault(f"{local}@{domain}", []).append(file.read_bytes())
    return found


def empty(root: Path) -> None:
    """Take all messages away; what lies in tmp/ is a fault."""
    assert not list(root.glob("*/*/tmp/*"))
    for file in root.glob("*/*/new/*"):
        file.unlink()
