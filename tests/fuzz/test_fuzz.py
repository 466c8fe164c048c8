"""The kept corpus always; then the search for what is not in it yet (tests/fuzz/README.md)."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import repeat
from pathlib import Path

import pytest

from lmtpd.protocol.dialogue import Dialogue
from tests.fuzz import broken, targets
from tests.fuzz.targets import EXTENSIONS, LIMITS, OPENING
from tests.support.conversation import HANDSHAKE
from tests.support.dialogues import Handshake, Say, scripts
from tests.support.watched import converse

FOLDER = Path(__file__).resolve().parent
KEPT = sorted((FOLDER / "corpus").glob("*/*"))
IS_CI = os.environ.get("CI") == "true"
SECONDS = int(os.environ.get("LMTPD_FUZZ_SECONDS", "60" if IS_CI else "3"))
MOST_OCTETS = 2048
"""Of an input: more than the limits of the targets let through, and quickly tried."""


@pytest.mark.parametrize("path", KEPT, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_kept_corpus(path: Path) -> None:
    targets.TARGETS[path.parent.name](path.read_bytes())


def test_every_target_has_a_corpus() -> None:
    assert {path.parent.name for path in KEPT} == set(targets.TARGETS)


def test_corpus_catches_a_reader_that_ends_at_a_line_feed() -> None:
    with pytest.raises(AssertionError, match="behind the end"):
        broken.data((FOLDER / "corpus/data/lf_dot_lf").read_bytes())


WHAT_TELLS = (
    b"BDAT 6\r\nNOOP\r\n"
    + OPENING
    + b"STARTTLS\r\nNOOP\r\n"
    + HANDSHAKE
    + OPENING
    + b"BDAT 1 LAST\r\na"
    + b"NOOP\r\n" * 300
)


def test_dialogue_that_tells_broken_ones() -> None:
    for size in (1, len(WHAT_TELLS)):
        assert converse(WHAT_TELLS, repeat(size), LIMITS, EXTENSIONS).dialogue.is_open


@pytest.mark.parametrize("kind", broken.KINDS)
def test_a_broken_dialogue_is_caught(kind: type[Dialogue]) -> None:
    def tell() -> None:
        for size in (1, len(WHAT_TELLS)):
            converse(WHAT_TELLS, repeat(size), LIMITS, EXTENSIONS, kind=kind)

    with pytest.raises(AssertionError):
        tell()


def _need_atheris() -> None:
    if find_spec("atheris") is None:
        reason = "atheris is not installed: pip install -r tests/requirements.txt (Python < 3.14)"
        if IS_CI:
            pytest.fail(reason)
        pytest.skip(reason)


def _search(
    module: str, target: str, seconds: int, kept: Path, *seeds: Path
) -> subprocess.CompletedProcess[str]:
    bounds = [
        "-rss_limit_mb=1024",
        "-timeout=10",
        f"-max_len={MOST_OCTETS}",
        f"-dict={FOLDER}/words.dict",
    ]
    options = [f"-max_total_time={seconds}", *bounds, f"-artifact_prefix={kept}/"]
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz.search", module, target, *options, *map(str, seeds)],
        cwd=FOLDER.parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds + 120,
        check=False,
    )


def test_search(tmp_path: Path) -> None:
    """All targets, two at a time."""
    _need_atheris()
    seeds = tmp_path / "dialogue-seeds"
    seeds.mkdir()
    for script in scripts():
        said = [
            step.octets if isinstance(step, Say) else HANDSHAKE
            for step in script.steps
            if isinstance(step, Say | Handshake)
        ]
        (seeds / script.name).write_bytes(b"".join(said)[:MOST_OCTETS])

    def run(target: str) -> str:
        found, kept = tmp_path / target, tmp_path / f"{target}-broke"
        more = [seeds] if target == "dialogue" else []
        found.mkdir()
        kept.mkdir()
        # The first folder takes what is found: never the kept corpus itself.
        ended = _search("targets", target, SECONDS, kept, found, FOLDER / "corpus" / target, *more)
        if ended.returncode == 0:
            return ""
        inputs = "\n".join(f"{path}: {path.read_bytes()!r}" for path in kept.iterdir())
        return f"{target}: {inputs}\n{ended.stdout[-4000:]}"

    with ThreadPoolExecutor(2) as pool:
        broke = [text for text in pool.map(run, targets.TARGETS) if text]
    assert not broke, "\n\n".join(broke)


def test_search_finds_a_reader_that_ends_at_a_line_feed(tmp_path: Path) -> None:
    _need_atheris()
    seed = tmp_path / "seeds"
    seed.mkdir()
    (seed / "ordinary").write_bytes(b"a\r\n.\r\nQUIT\r\n")
    ended = _search("broken", "data", 30, tmp_path, seed)
    assert ended.returncode != 0
    assert "behind the end" in ended.stdout, ended.stdout[-2000:]
