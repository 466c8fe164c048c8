"""The process that tells how the server is: metrics, health, and the status page.

The workers send it samples (lmtpd.server.sampling), it adds them up, and answers over HTTP. It is a
process of its own, so that nothing it does, or that is done to it, holds up mail.
"""
