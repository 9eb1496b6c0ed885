"""Mail to subscribers, by SMTP."""

import contextlib
import email.header
import email.mime.text
import email.utils
import functools
import io
import re
import smtplib
import socket
import ssl
import time

from queueservice.delivery import base
from queueservice.model import deliveries, errors, subscribers

#: Seconds in which the mail server has to accept a connection.
_CONNECT = 3.0

_MAX_SUBJECT = 200  # characters
_UNREADABLE = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+')
_NOT_IN_AN_ID = re.compile(r'[^A-Za-z0-9.-]')
#: How encoded words begin. An address that has one is a legal one, and nobody's: servers have been seen to decode it.
_ENCODED = '=?'
_ADDRESS = re.compile(r'[^<>@,;:]*<([^<>]+)>|([^<>\s]+)')


class Mail:
    """The sender for `mailto:`. One connection an attempt."""

    def __init__(self, rules: deliveries.Rules, tls: ssl.SSLContext | None = None):
        """
        :param tls: what certificates are verified with; None: those that the system trusts.
        """
        self._rules = rules
        self._sender = email.utils.parseaddr(rules.sender)
        self._tls = tls
        if tls is None and rules.smtp_host and rules.smtp_security != 'none':
            self._tls = ssl.create_default_context()

    def site(self, target: str) -> str:
        return self._rules.smtp_host or ''

    def send(self, push: base.Push) -> base.Result:
        if not self._rules.smtp_host:
            return base.Result(ok=False, sent=False, error='mail_off')
        recipient = _read_recipient(push.target, self._rules)
        if recipient is None:
            return base.Result(ok=False, sent=False, error='address')
        try:
            self._hand_over(self._write(push, recipient), recipient)
        except (OSError, ValueError) as error:
            return _explain(error)
        return base.Result(ok=True, status=250)

    def _write(self, push, recipient):
        # Not an EmailMessage: it decodes what is assigned to a field, and would write encoded line ends as they are.
        if push.text is None:
            subject, text = _read_subject(push), push.body.decode()
            reply_to = _read_address(push.options.get('from'))
        else:
            # What the service asks in its own name says nothing that a tenant could choose.
            (subject, text), reply_to = push.text, None
        message = email.mime.text.MIMEText(text, 'plain', 'utf-8')
        message['From'] = email.utils.formataddr(self._sender)
        message['To'] = recipient
        if reply_to:
            message['Reply-To'] = reply_to
        message['Subject'] = email.header.Header(subject, 'utf-8')
        message['Date'] = email.utils.formatdate(push.sent_at)
        # The same for every attempt: mailboxes can recognise a repeat.
        domain = self._sender[1].rpartition('@')[2] or 'localhost'
        message['Message-ID'] = f'<{_NOT_IN_AN_ID.sub("-", push.delivery_id)}@{domain}>'
        message['Auto-Submitted'] = 'auto-generated'
        return message

    def _hand_over(self, message, recipient):
        rules = self._rules
        deadline = time.monotonic() + rules.timeout
        kind = functools.partial(_TlsConnection, context=self._tls) if rules.smtp_security == 'tls' else _Connection
        connection = kind(
            rules.smtp_host,
            rules.smtp_port,
            local_hostname=_local_name(),
            timeout=min(_CONNECT, rules.timeout),
            deadline=deadline,
        )
        try:
            if rules.smtp_security == 'starttls':
                connection.starttls(context=self._tls)
            if rules.smtp_user_name:
                connection.login(rules.smtp_user_name, rules.smtp_user_password or '')
            connection.send_message(message, self._sender[1], [recipient])
            connection.say_goodbye()
        finally:
            connection.close()


class _Bounded:
    """A connection on which nothing is waited for after `deadline` (s, monotonic)."""

    def __init__(self, *arguments, deadline, **options):
        self._deadline = deadline
        super().__init__(*arguments, **options)

    def getreply(self):
        if self.file is None:  # a new connection, or a new layer of it
            self.file = io.BufferedReader(_Replies(self.sock, self._deadline))
        return super().getreply()

    def say_goodbye(self):
        """What was handed over is handed over, however the server takes leave."""
        with contextlib.suppress(OSError):
            self.quit()


class _Connection(_Bounded, smtplib.SMTP):
    pass


class _TlsConnection(_Bounded, smtplib.SMTP_SSL):
    pass


class _Replies(io.RawIOBase):
    """Reads a socket. What is written after it was read has to be written by the deadline, too."""

    def __init__(self, sock, deadline):
        self._sock = sock
        self._deadline = deadline

    def readable(self):
        return True

    def readinto(self, buffer):
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._sock.recv_into(buffer)


def _read_subject(push):
    subject = _clean(push.options.get('subject'))
    if subject:
        return subject
    return f'Message of the queue {push.queue.key.name}' if push.queue else 'Message of a queue'


def _read_address(text):
    """The address that a tenant wants answers to go to, with or without a name before it; None if it is none."""
    match = _ADDRESS.fullmatch(_clean(text))
    return match and _read_recipient(f'mailto:{match[1] or match[2]}', _ANY_MAIL)


def _read_recipient(target, rules):
    try:
        address = subscribers.mail_address(subscribers.check(target, rules))
    except errors.BodyInvalid:
        return None
    return None if _ENCODED in address else address


def _clean(text):
    """One line, whatever a tenant has put there."""
    return _UNREADABLE.sub(' ', text)[:_MAX_SUBJECT].strip() if isinstance(text, str) else ''


def _explain(error):
    match error:
        case smtplib.SMTPRecipientsRefused():
            ((code, _),) = error.recipients.values()
            return _answered(code, final=True)
        case smtplib.SMTPSenderRefused() | smtplib.SMTPDataError():
            return _answered(error.smtp_code, final=True)
        case smtplib.SMTPResponseException():  # it takes no mail from us at all, until the operator has mended that
            return _answered(error.smtp_code, final=False)
        case smtplib.SMTPServerDisconnected():
            reason = 'timeout' if isinstance(error.__context__, TimeoutError) else 'connection'
        case ssl.SSLCertVerificationError():
            reason = 'tls'
        case TimeoutError():
            reason = 'timeout'
        case socket.gaierror():
            reason = 'dns'
        case smtplib.SMTPException() | ValueError():  # it offers no STARTTLS, or no way to log in
            reason = 'mail'
        case _:
            reason = 'connection'
    return base.Result(ok=False, retry=True, error=reason)


def _answered(code, final):
    """What the server refused; `final`: this mail, so that another code than one of 4xx is its last word."""
    return base.Result(ok=False, retry=not final or code < 500, status=code if code > 0 else None, error='mail')


@functools.cache
def _local_name():
    """What this machine calls itself to the mail server. To find it may ask DNS."""
    return socket.getfqdn()


_ANY_MAIL = deliveries.Rules(subscriber_types=('mailto',))
