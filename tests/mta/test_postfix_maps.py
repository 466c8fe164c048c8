"""A map of virtual(5), as the real postmap and as our table read it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lmtpd.protocol.address import Address
from lmtpd.protocol.envelope import Peer
from lmtpd.recipients.chain import AddressRules
from lmtpd.recipients.table_file import TableFile
from lmtpd.recipients.verdict import RcptContext
from tests.support.asking import Asking
from tests.support.components import require
from tests.support.processes import PROGRAMS_PATH

MAP = """\
# Postfix knows this domain by the next line
example.com             anything
postmaster@example.com  postmaster@example.org
Info@Example.COM        jane@example.org,
                        joe@example.net

   # in between
sales+shop@example.com\tshop@example.org jane@example.org
@example.net            all@example.org
bob@example.net         bob@example.org
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    require("postfix")
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n")
    path = tmp_path / "virtual"
    path.write_text(MAP)
    return path


def postfix_says(path: Path, address: str) -> list[str]:
    """The addresses that virtual(5) leads to, asked for in its order."""
    postmap = shutil.which("postmap", path=PROGRAMS_PATH)
    assert postmap
    for key in (address, "@" + address.partition("@")[2]):
        result = subprocess.run(
            [postmap, "-c", path.parent, "-q", key, f"texthash:{path}"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert not result.stderr
        if result.returncode == 0:
            return result.stdout.replace(",", " ").split()
    return []


@pytest.mark.parametrize(
    "address",
    [
        "postmaster@example.com",
        "info@example.com",
        "sales+shop@example.com",
        "nobody@example.com",
        "bob@example.net",
        "anybody@example.net",
        "anybody@example.org",
    ],
)
def test_both_say_the_same(address: str, path: Path) -> None:
    hook = TableFile(path, "example.org", AddressRules(), Asking().report)
    verdict = hook.verify(Address.parse(address), RcptContext(Peer("")))
    assert list(verdict.mailboxes if verdict else ()) == postfix_says(path, address)
