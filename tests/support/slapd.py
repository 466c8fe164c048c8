"""A real OpenLDAP server that holds the entries of a test."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from tests.support.certificates import Certificate
from tests.support.daemon import Daemon
from tests.support.postgresql import PASSWORD
from tests.support.processes import LOOPBACK, free_port

BASE = "ou=people,dc=example,dc=org"
BIND_DN = "cn=lmtpd,dc=example,dc=org"

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/misc.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {folder}/cert_path
TLSCertificateKeyFile {folder}/key_path
database mdb
suffix "dc=example,dc=org"
rootdn "{bind_dn}"
rootpw "{password}"
directory {folder}/data
maxsize 16777216
dbnosync
access to dn.subtree="{base}" by anonymous none
access to * by * read
"""

_TREE = f"""\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: {BASE}
objectClass: organizationalUnit
ou: people

dn: ou=elsewhere,{BASE}
objectClass: referral
objectClass: extensibleObject
ou: elsewhere
ref: ldap://192.0.2.1/ou=elsewhere,{BASE}

dn: cn=odd,{BASE}
objectClass: inetOrgPerson
cn: odd
sn: odd
uid: odd
mail: odd@example.org
userPassword:: //8=
"""


class Slapd(Daemon):
    """slapd in clear with StartTLS, and with TLS from the start on another port."""

    component = "slapd"

    def __init__(self, certificate: Certificate, ldif: str) -> None:
        super().__init__(certificate)
        self.tls_port = free_port()
        self._ldif = ldif

    @property
    def configuration(self) -> Path:
        """The file."""
        return self.folder / "slapd.conf"

    @property
    def local_url(self) -> str:
        """Its unix socket."""
        return f"ldapi://{quote(f'{self.folder}/ldapi', safe='')}"

    def prepare(self) -> None:
        """Write the configuration and put the entries in."""
        (self.folder / "data").mkdir()
        self.configuration.write_text(
            _CONFIGURATION.format(folder=self.folder, base=BASE, bind_dn=BIND_DN, password=PASSWORD)
        )
        self.run(["slapadd", "-f", str(self.configuration)], f"{_TREE}\n{self._ldif}")

    def command(self) -> list[str]:
        """The server."""
        urls = f"ldap://{LOOPBACK}:{self.port} ldaps://{LOOPBACK}:{self.tls_port} {self.local_url}"
        return ["slapd", "-f", str(self.configuration), "-h", urls, "-d", "0"]
