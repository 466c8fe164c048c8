"""One search: `python -m tests.fuzz.search MODULE TARGET [libFuzzer option or folder ...]`."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    """Run until libFuzzer has enough, or something broke."""
    with atheris.instrument_imports(include=["lmtpd", "tests.fuzz"]):
        target = importlib.import_module(f"tests.fuzz.{sys.argv[1]}").TARGETS[sys.argv[2]]
    # libFuzzer calls it again by its first argument, in a shell, when it merges.
    again = f"{sys.executable} -m tests.fuzz.search {sys.argv[1]} {sys.argv[2]}"
    atheris.Setup([again, *sys.argv[3:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
