"""Every reply lmtpd can utter, in one table; docs/REPLIES.md is printed from it.

A literal code anywhere else fails a test. The comment above a group names the paragraph it obeys.
Texts are for the administrator who reads them in the MTA's log: they say what happened and, where
it is ours to mend, which setting to look at; never a path, an errno or the name of an exception.
"""

from __future__ import annotations

from .reply import Reply

# Connection and LHLO: RFC 5321 3.1, 3.8 and 4.2.2; neither 220 nor LHLO's 250 has an enhanced code
# (RFC 2034 4). The host's own name is put in front of the first line.
GREETING = Reply(220, "", ("LMTP lmtpd is ready",))
NOT_TRUSTED = Reply(554, "5.7.1", ("Your address may not connect: it is not in lmtp-trusted-ips",))
# A name server that is down is a fault of ours; 554 would bounce.
TRUST_UNKNOWN = Reply(
    421, "4.4.3", ("A name in lmtp-trusted-ips cannot be resolved just now, try again later",)
)
USER_NOT_TRUSTED = Reply(
    554, "5.7.1", ("Your user may not connect: it is not in lmtp-trusted-users",)
)
HELLO = Reply(250, "", ("at your service",))
BYE = Reply(221, "2.0.0", ("Bye",))
SHUTTING_DOWN = Reply(421, "4.3.2", ("Service is shutting down, try again shortly",))
TOO_MANY_CONNECTIONS = Reply(421, "4.3.2", ("Too many connections: see lmtp-max-connections",))
TOO_MANY_OF_PEER = Reply(
    421, "4.7.0", ("Too many connections from your address: see lmtp-max-connections-per-peer",)
)
IDLE = Reply(421, "4.4.2", ("Nothing heard for too long, closing the connection",))
TOO_SLOW = Reply(421, "4.4.2", ("Not finished in time, closing the connection",))
TOO_MANY_ERRORS = Reply(421, "4.7.0", ("Too many errors: see lmtp-max-errors",))
TOO_MANY_NOOPS = Reply(421, "4.7.0", ("Too many commands and no mail: see lmtp-max-noops",))
TOO_MANY_COMMANDS = Reply(421, "4.7.0", ("Too many commands: see lmtp-max-commands",))
SESSION_FAILED = Reply(421, "4.3.0", ("Internal fault, try again later",))

# Commands that cannot be read: RFC 5321 4.2.4 and 4.3.2.
HELLO_IS_LHLO = Reply(500, "5.5.1", ("This is LMTP, say LHLO",))  # RFC 2033 4.1
UNKNOWN_COMMAND = Reply(500, "5.5.1", ("Command unknown, see HELP",))
LINE_TOO_LONG = Reply(500, "5.5.2", ("Command line is too long",))
BARE_LINE_FEED = Reply(500, "5.5.2", ("Command lines end with CR LF, not LF alone",))
BAD_OCTETS = Reply(500, "5.5.2", ("Command holds octets that do not belong there",))
NOT_HTTP = Reply(421, "4.7.0", ("This is LMTP, not HTTP, closing the connection",))  # RFC 5321 3.8
BAD_SYNTAX = Reply(501, "5.5.4", ("Syntax error in parameters, see HELP",))
UNKNOWN_PARAMETER = Reply(555, "5.5.4", ("Parameter not recognised",))  # RFC 5321 4.1.1.11
LHLO_FIRST = Reply(503, "5.5.1", ("Say LHLO first",))

# MAIL: RFC 5321 3.3, RFC 1870 6, RFC 3030 3, RFC 6531 3.5.
MAIL_OK = Reply(250, "2.1.0", ("Sender ok",))
MAIL_TWICE = Reply(503, "5.5.1", ("A transaction is open already, say RSET first",))
BAD_SENDER = Reply(501, "5.1.7", ("Sender address is malformed",))
SENDER_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", ("Address beyond ASCII needs SMTPUTF8",))
STORAGE_LOW = Reply(452, "4.3.1", ("Mail system storage is down to lmtp-disk-reserve",))
MEMORY_SPENT = Reply(452, "4.3.1", ("Messages under way take all of lmtp-memory-budget",))
TOO_LARGE = Reply(552, "5.3.4", ("Message is larger than lmtp-max-message-size",))

# RCPT: RFC 5321 3.3, RFC 2033 4.2; the verdicts of lmtpd.recipients.
RCPT_OK = Reply(250, "2.1.5", ("Recipient ok",))
MAIL_FIRST = Reply(503, "5.5.1", ("Say MAIL first",))
BAD_RECIPIENT = Reply(501, "5.1.3", ("Recipient address is malformed",))
RECIPIENT_NEEDS_SMTPUTF8 = Reply(553, "5.6.7", ("Address beyond ASCII needs SMTPUTF8",))
TOO_MANY_RECIPIENTS = Reply(452, "4.5.3", ("Too many recipients in one transaction",))
UNKNOWN_RECIPIENT = Reply(550, "5.1.1", ("No such mailbox here",))
REJECTED = Reply(550, "5.7.1", ("Recipient does not take this message",))
MAILBOX_FULL = Reply(452, "4.2.2", ("Mailbox is full",))
MAILBOX_STUCK = Reply(450, "4.2.0", ("Mailbox does not answer just now, try again later",))
VERIFICATION_FAILED = Reply(451, "4.4.3", ("Recipient cannot be verified just now",))

# DATA and BDAT: RFC 5321 4.1.1.4, RFC 2033 4.2, RFC 3030 2.
START_MAIL = Reply(354, "", ("Send the message, end with <CR><LF>.<CR><LF>",))
RCPT_FIRST = Reply(503, "5.5.1", ("No valid recipients",))
BINARY_NEEDS_BDAT = Reply(503, "5.5.1", ("BODY=BINARYMIME goes with BDAT only",))
CHUNKS_BEGUN = Reply(503, "5.5.1", ("BDAT has begun, only BDAT or RSET can follow",))
CHUNK_LOST = Reply(503, "5.5.1", ("A chunk was refused, the message is not whole",))
CHUNK_OK = Reply(250, "2.0.0", ("Chunk received",))

# Final replies, one for each recipient: RFC 2033 4.2. The causes are in lmtpd.failures.
DELIVERED = Reply(250, "2.0.0", ("Delivered",))
MAIL_LOOP = Reply(554, "5.4.6", ("Mail loop: delivered here before, or passed on too often",))
STORAGE_FULL = Reply(452, "4.3.1", ("Mail system storage is full",))
QUOTA_EXCEEDED = Reply(552, "5.2.2", ("Mailbox is over its quota",))
STORE_MISCONFIGURED = Reply(451, "4.3.5", ("Mail store is not set up right, see the server's log",))
OUT_OF_RESOURCES = Reply(451, "4.3.2", ("Server is out of resources, try again later",))
HELD_UP = Reply(451, "4.3.0", ("Delivery could not begin in time, try again later",))
INTERNAL_FAULT = Reply(451, "4.3.0", ("Delivery failed here, try again later",))

# STARTTLS: RFC 3207 4.
TLS_READY = Reply(220, "2.0.0", ("Start the TLS handshake",))
TLS_UNAVAILABLE = Reply(502, "5.5.1", ("STARTTLS is not offered here",))
TLS_FIRST = Reply(530, "5.7.0", ("Must issue a STARTTLS command first",))
# The RFC's 554 to every command would bounce all mail when a certificate was renewed.
CLIENT_NOT_LISTED = Reply(
    421,
    "4.7.1",
    ("Your certificate is neither in lmtp-client-names nor in lmtp-client-fingerprints",),
)
TLS_ALREADY = Reply(503, "5.5.1", ("TLS is on already",))

# The rest: RFC 5321 3.5 and 4.1.1.5 to 4.1.1.9; XFORWARD as Postfix documents it.
RESET = Reply(250, "2.0.0", ("Forgotten",))
NOTHING_DONE = Reply(250, "2.0.0", ("Still here",))
VERIFIED = Reply(250, "2.1.5", ("Mailbox exists",))
CANNOT_VERIFY = Reply(252, "2.0.0", ("VRFY and EXPN are off here; RCPT tells",))
CANNOT_EXPAND = Reply(252, "2.0.0", ("List is too long to be shown; RCPT tells",))
NEEDS_SMTPUTF8 = Reply(252, "2.6.8", ("Members are beyond ASCII, ask for SMTPUTF8",))  # RFC 6531
XFORWARD_OK = Reply(250, "2.0.0", ("Noted",))
XFORWARD_LATE = Reply(503, "5.5.1", ("XFORWARD goes before MAIL",))
HELP = Reply(
    214,
    "2.0.0",
    (
        "lmtpd speaks LMTP (RFC 2033) and delivers into Maildirs",
        "LHLO name",
        "MAIL FROM:<address> [SIZE=n] [BODY=7BIT|8BITMIME|BINARYMIME] [SMTPUTF8]",
        "RCPT TO:<address>",
        "DATA",
        "BDAT octets [LAST]",
        "VRFY address, EXPN list",
        "STARTTLS, RSET, NOOP, HELP, QUIT",
    ),
)

# The client (lmtpd.client): the fate of a recipient of whom the server has said nothing. All are
# transient: what was not heard is never a reason to bounce.
UNREACHABLE = Reply(421, "4.4.1", ("The LMTP server cannot be reached",))
CONNECTION_LOST = Reply(421, "4.4.2", ("The connection to the LMTP server was lost",))
SERVER_UNWILLING = Reply(451, "4.3.2", ("The LMTP server takes no mail",))
NOT_LMTP = Reply(451, "4.5.0", ("The server does not keep to LMTP",))
TLS_NOT_OFFERED = Reply(454, "4.7.4", ("TLS is required, and the LMTP server does not offer it",))


def table() -> dict[str, Reply]:
    """Every reply by its name, in the order above."""
    return {name: value for name, value in globals().items() if isinstance(value, Reply)}
