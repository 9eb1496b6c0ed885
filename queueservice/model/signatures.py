"""Pre-signed URLs: what one allows, and the signature that proves it.

There are two kinds: shares, for routes of a queue and what lies below them, and links, for the confirmation of one
subscription and nothing else.

A signature covers one text, and the grammar makes sure that no two grants have the same text: neither paths nor
methods can hold a backslash, so the first two separators are where they seem to be, and the expiry at the end has a
fixed length; what is left between them is the project, whatever it holds. A grant that does not obey the grammar
has no text, and so no signature.
"""

import collections.abc
import datetime
import hashlib
import hmac
import itertools
import re

import msgspec

from queueservice.model import errors, queues

#: What a queue can share: the routes below it.
RESOURCES = ('messages', 'subscriptions', 'claims')
METHODS = ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE')
DEFAULT_LIFE = 24 * 3600  # s
MAX_LIFE = 7 * 24 * 3600  # s

#: How a link is followed.
LINK_METHOD = 'PUT'

#: Shorter secrets can be guessed.
MIN_SECRET = 32  # bytes

#: The two characters, not a line feed: so it is in this protocol.
_SEPARATOR = r'\n'
_PATH = re.compile(r'/v2/queues/([A-Za-z0-9_.-]{1,64})/(messages|subscriptions|claims)')
_LINK = re.compile(r'/v2/queues/([A-Za-z0-9_.-]{1,64})/subscriptions/([0-9a-f]{24})/confirm')
#: No share leads there, whatever it is for: who may confirm is for the subscriber to say, and what signs for him is
#: told to the owner alone.
_UNSHARED = ('/confirm', '/secret')
_SHARED_ROUTE = re.compile(r'/v2/queues/{\w+}/(messages|subscriptions|claims)(/.*)?')
_LINKED_ROUTE = '/v2/queues/{queue_name}/subscriptions/{subscription_id}/confirm'
_EXPIRY = re.compile(r'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}')
#: A time as people and programs write it, of which the expiry is made.
ASKED_EXPIRY = re.compile(rf'({_EXPIRY.pattern})(?:\.[0-9]{{1,9}})?(?:Z|\+00:00)?')
_SIGNATURE = re.compile(r'[0-9a-f]{64}')


class Grant(msgspec.Struct, frozen=True):
    """Who may do what until when. `build`, `build_link` and `read` make those that obey the grammar."""

    paths: tuple[str, ...]  # of one queue, ascending
    methods: tuple[str, ...]  # ascending
    project: str
    expires: str  # 2026-11-23T03:50:02, UTC

    @property
    def link(self) -> str | None:
        """The id of the subscription that it confirms; None: it is a share."""
        match = _LINK.fullmatch(self.paths[0])
        return match and match[2]

    @property
    def queue(self) -> queues.QueueKey:
        """The queue whose routes it is for."""
        return queues.QueueKey(queues.PROJECT, self.project, self.paths[0].split('/')[3])

    def is_for(self, method: str, path: str, now: float) -> bool:
        """Whether it allows this request now: by one of its methods, before it expires, and at one of its paths.

        A share is for what lies below its paths, too, but for no confirmation and no secret.

        :param path: decoded once, as the routes see it.
        """
        if not (now < _instant(self.expires) and method in self.methods):
            return False
        if self.link:
            return path in self.paths
        return not path.rstrip('/').endswith(_UNSHARED) and any(
            path == mine or path.startswith(f'{mine}/') for mine in self.paths
        )


def build(
    queue: queues.QueueKey,
    resources: collections.abc.Iterable[str],
    methods: collections.abc.Iterable[str],
    expires_at: float,
) -> Grant:
    """The grant for these routes of a queue.

    :param resources: some of `RESOURCES`; `methods`: some of `METHODS`.
    :param expires_at: s, UTC; fractions of a second are cut off.
    """
    return Grant(
        paths=tuple(sorted({f'/v2/queues/{queue.name}/{resource}' for resource in resources})),
        methods=tuple(sorted(set(methods))),
        project=queue.project,
        expires=_write(expires_at),
    )


def build_link(queue: queues.QueueKey, subscription_id: str, expires_at: float) -> Grant:
    """The grant to confirm, or to decline, this subscription to the queue."""
    path = f'/v2/queues/{queue.name}/subscriptions/{subscription_id}/confirm'
    return Grant((path,), (LINK_METHOD,), queue.project, _write(expires_at))


def read(paths: str, methods: str, project: str, expires: str) -> Grant | None:
    """The grant that a request claims to have, lists joined by commas; None if it does not obey the grammar."""
    grant = Grant(tuple(paths.split(',')), tuple(methods.split(',')), project, expires)
    return grant if _obeys(grant) else None


def canonical(grant: Grant) -> str:
    """The text that is signed: another one for every grant."""
    return _SEPARATOR.join((','.join(grant.paths), ','.join(grant.methods), grant.project, grant.expires))


def is_for_route(method: str, route: str) -> bool:
    """Whether there can be a grant for this method of a route, such as `/v2/queues/{queue_name}/messages`."""
    if route == _LINKED_ROUTE:
        return method == LINK_METHOD
    return _SHARED_ROUTE.fullmatch(route) is not None and not route.endswith(_UNSHARED)


def sign(grant: Grant, secret: bytes) -> str:
    """64 hex digits."""
    return hmac.new(secret, canonical(grant).encode(), hashlib.sha256).hexdigest()


def is_signed(grant: Grant, signature: str, secrets: collections.abc.Iterable[bytes]) -> bool:
    """Whether one of the secrets made this signature. How long it takes does not tell where two signatures differ."""
    if not _SIGNATURE.fullmatch(signature):
        return False
    return any(hmac.compare_digest(sign(grant, secret), signature) for secret in secrets)


def read_expiry(text: str) -> float:
    """The instant (s, UTC) that somebody asks for as an expiry; a fraction of a second is cut off.

    :raises BodyInvalid: it is none.
    """
    match = ASKED_EXPIRY.fullmatch(text)
    instant = _instant(match[1]) if match else None
    if instant is None:
        raise errors.BodyInvalid(
            description='The value of the "expires" field must be a time in UTC such as 2026-11-23T03:50:02.'
        )
    return instant


def check_life(expires_at: float, now: float) -> float:
    """Return `expires_at` if a grant made now may last until then."""
    if not now < expires_at <= now + MAX_LIFE:
        raise errors.BodyInvalid(
            description=f'The time in the "expires" field must lie in the future, {MAX_LIFE // 86400} days ahead at '
            'the most.'
        )
    return expires_at


def _obeys(grant):
    link = _LINK.fullmatch(grant.paths[0])
    matches = [link] if link else [_PATH.fullmatch(path) for path in grant.paths]
    return (
        all(matches)
        and (not link or (len(grant.paths) == 1 and grant.methods == (LINK_METHOD,)))
        and len({match[1] for match in matches}) == 1
        and matches[0][1] not in ('.', '..')
        and _ascends(grant.paths)
        and all(method in METHODS for method in grant.methods)
        and _ascends(grant.methods)
        and _EXPIRY.fullmatch(grant.expires) is not None
        and _instant(grant.expires) is not None
    )


def _ascends(values):
    return all(one < other for one, other in itertools.pairwise(values))


def _write(instant):
    return datetime.datetime.fromtimestamp(int(instant), datetime.UTC).strftime('%Y-%m-%dT%H:%M:%S')


def _instant(expires):
    try:
        return datetime.datetime.fromisoformat(expires).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:  # a 31st of February
        return None
