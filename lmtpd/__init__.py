"""lmtpd: LMTP in, durable Maildir out."""

__version__ = "0.1.0"
