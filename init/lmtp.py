#!/usr/bin/env python3
"""The bridge as Sendmail's FEATURE(`local_lmtp') runs it: `lmtp.py 127.0.0.1:11200`.

For a source tree; where lmtpd is installed as a package, bin/lmtp.py is the same.
"""

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # noqa: PTH120
    from lmtpd.bridge.command import lmtp

    sys.exit(lmtp())
