#!/usr/bin/env python3
"""Run lmtpd from its source tree; the same as python -m lmtpd."""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    from lmtpd.__main__ import main

    sys.exit(main())
