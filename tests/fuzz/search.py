"""One search: `python -m tests.fuzz.search MODULE TARGET [libFuzzer option or folder ...]`."""

from __future__ import annotations

import importlib
import sys

import atheris


def main() -> None:
    """Run until libFuzzer has enough, or something broke."""
    with atheris.instrument_imports(include=["lmtpd", "tests.fuzz"]):
        target = importlib.import_module(f"tests.fuzz.{sys.argv[1]}").TARGETS[sys.argv[2]]
    atheris.Setup([sys.argv[0], *sys.argv[3:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
