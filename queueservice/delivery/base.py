"""The port through which something leaves the service: one sender for each kind of address.

A sender makes one attempt and says what came of it. It decides nothing about another one, keeps nothing, and returns
within the time that it was given, whatever the other side does.
"""

import collections.abc
import typing

import msgspec

from queueservice.model import messages, queues


class Push(msgspec.Struct, frozen=True):
    """What is to be sent, to whom."""

    target: str  # the URI of the subscriber
    body: bytes  # JSON
    delivery_id: str
    sent_at: float  # s, UTC
    secrets: tuple[bytes, ...] = ()  # what signs it, the present one first
    options: dict[str, typing.Any] = {}  # of the subscription
    kind: str = 'message'  # as model.deliveries has it
    text: tuple[str, str] | None = None  # for people: subject and text, where that is not the body
    queue: queues.Queue | None = None  # where a message was posted, and what ...
    message: messages.Message | None = None  # ... decrypted; for senders that stay in this service


class Exchange(msgspec.Struct, frozen=True):
    """One request as it was sent, and what came back of its answer."""

    method: str
    url: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: bytes
    started_at: float  # s, UTC
    seconds: float  # from the first byte to the last
    status: int | None = None  # None: there was no answer
    reason: str = ''
    response_headers: tuple[tuple[str, str], ...] = ()
    response_body: bytes = b''
    truncated: bool = False  # the answer was longer than what is here
    internal: bool = False  # at an address that only the operator's `allowed_networks` opens


class Result(msgspec.Struct, frozen=True):
    """What came of an attempt."""

    ok: bool
    retry: bool = False  # trying again may help; only if not ok
    sent: bool = True  # whether anything left this service; what was refused before is no attempt
    status: int | None = None  # that it was answered with
    error: str | None = None  # of model.deliveries.ERRORS; None only if ok
    retry_after: float | None = None  # s; the other side asks not to be tried before
    exchange: Exchange | None = None  # where the attempt was one of HTTP


class Sender(typing.Protocol):
    def site(self, target: str) -> str:
        """The host, or whatever else is loaded by what goes to `target`."""

    def send(self, push: Push) -> Result:
        """Make one attempt. Raises nothing."""


#: Senders by the scheme of the URI, in small letters.
Senders = collections.abc.Mapping[str, Sender]
