"""What a session says to each event where nothing is wrong."""

from __future__ import annotations

from lmtpd.protocol import events, replies
from lmtpd.protocol.events import Event
from lmtpd.protocol.reply import Reply

USUAL_REPLIES: dict[type[Event], Reply] = {
    events.Hello: replies.HELLO,
    events.MailFrom: replies.MAIL_OK,
    events.RcptTo: replies.RCPT_OK,
    events.Data: replies.START_MAIL,
    events.EndOfChunk: replies.CHUNK_OK,
    events.StartTls: replies.TLS_READY,
    events.Verify: replies.VERIFIED,
    events.Expand: replies.VERIFIED,
    events.XForward: replies.XFORWARD_OK,
    events.Reset: replies.RESET,
    events.Noop: replies.NOTHING_DONE,
    events.Help: replies.HELP,
    events.Quit: replies.BYE,
}
