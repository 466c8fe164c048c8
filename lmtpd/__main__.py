"""`python -m lmtpd`, `lmtpd.py` and the installed command: which part of lmtpd is meant.

The bridge is run for each message, so it is reached without importing the server's settings.
"""

import sys


def main() -> int:
    """Run one command; the process's exit code."""
    if sys.argv[1:2] == ["bridge"]:
        from .bridge.command import main as bridge

        return bridge(sys.argv[2:])
    from .cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
