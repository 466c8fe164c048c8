"""The log: one line for each thing worth telling, for people and for machines.

`log.py` gathers lines, a target writes them (`stream.py`, `syslog.py`, `journal.py`), in one of the
forms of `forms.py`. Nothing here waits: who reads the log may be slow, or gone, and mail goes on.
"""

from .log import Log
from .opening import open_log, open_target

__all__ = ["Log", "open_log", "open_target"]
