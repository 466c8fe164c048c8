"""Who exists: the verification of recipients, at RCPT and for VRFY and EXPN.

A probe (Postfix's reject_unverified_recipient) ends after RCPT: nothing here may create anything,
and what is answered here is what delivery would do.
"""
