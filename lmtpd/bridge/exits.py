"""Exit codes that are not in sysexits.h, and the one that all but qmail take for "try again"."""

import os

SOFT = os.EX_TEMPFAIL
QMAIL_HARD = 100
QMAIL_SOFT = 111
