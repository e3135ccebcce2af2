"""Hand one message to an SMTP server; say whether it was taken, without a word that the server or we hold secret."""

import contextlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from enum import StrEnum

TIMEOUT_SECONDS = 15


class MailTls(StrEnum):
    """How the way to the server is kept from others: upgraded on the way, from the first byte, or not at all."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in, as whom, and the address that it comes from."""

    host: str
    port: int
    sender: str
    tls: MailTls = MailTls.STARTTLS
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """What became of handing in: `error` is None when the server took it; `is_final` if another try is no use,
    `is_server_away` if another message would fail, too.
    """

    error: str | None = None
    is_final: bool = False
    is_server_away: bool = False


def hand_in(server: MailServer, message: EmailMessage) -> MailOutcome:
    """Hand in a message to one recipient. Never raises for what the server or the network does.

    What a server says may quote addresses and more; only its code is kept.
    """
    try:
        smtp = _connect(server)
        try:
            smtp.send_message(message)
        finally:
            # once the message is taken, a server that fails to say goodbye changes nothing
            with contextlib.suppress(smtplib.SMTPException, OSError):
                smtp.quit()
    except (smtplib.SMTPException, OSError, UnicodeError) as error:
        return _outcome_of(error)
    return MailOutcome()


def _outcome_of(error: Exception) -> MailOutcome:
    match error:
        case smtplib.SMTPRecipientsRefused():
            code = max((code for code, _ in error.recipients.values()), default=0)
            return MailOutcome(f"the recipient was refused ({code})", is_final=code >= 500)
        case smtplib.SMTPDataError():
            return MailOutcome(f"the message was refused ({error.smtp_code})", is_final=error.smtp_code >= 500)
        case smtplib.SMTPAuthenticationError():
            reason = f"the server refused user or password ({error.smtp_code})"
        case smtplib.SMTPResponseException():
            reason = f"the server answered {error.smtp_code}"
        case ssl.SSLError():
            reason = f"no trusted TLS with the server ({error.reason})"
        case _:
            reason = type(error).__name__
    return MailOutcome(reason, is_server_away=True)


def _connect(server: MailServer) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if server.tls == MailTls.TLS:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        smtp = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_SECONDS)
    try:
        if server.tls == MailTls.STARTTLS:
            smtp.starttls(context=context)
        if server.user is not None:
            smtp.login(server.user, server.password or "")
    except BaseException:
        smtp.close()
        raise
    return smtp
