"""A real Dovecot LMTP server over Maildirs that it makes itself: what we are compared with.

For Dovecot 2.3. It lives below one directory of its own, as tests.support.dovecot says.
"""

from __future__ import annotations

import os

from tests.support.dovecot import _OWNER, Dovecot, _version
from tests.support.processes import LOOPBACK, greets

_CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
listen = {host}
protocols = lmtp
ssl = no
mail_uid = {owner}
mail_gid = {owner}
mail_location = maildir:{root}/%d/%n:INDEX=MEMORY
# What Dovecot has for those who want their mail to last; its default is less.
mail_fsync = always
service lmtp {{
  inet_listener lmtp {{
    address = {host}
    port = {port}
  }}
}}
passdb {{
  driver = static
  args = password=unused
}}
userdb {{
  driver = static
  args = allow_all_users=yes home={folder}/home/%u
}}
"""


def is_known() -> bool:
    """Whether this Dovecot reads the configuration above."""
    return _version().startswith("2.3.")


class DovecotLmtp(Dovecot):
    """Every address is a user, and its Maildir is made by the first message."""

    def _write_configuration(self) -> None:
        os.chown(self._root, _OWNER, _OWNER)
        self._configuration = self._folder / "dovecot.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                folder=self._folder,
                host=LOOPBACK,
                owner=_OWNER,
                port=self.port,
                root=self._root,
            )
        )

    def _is_up(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None and greets(self.port, b"220 ")
