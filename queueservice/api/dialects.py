"""What the APIs, and the versions of the queue API, spell or do differently.

`V2` states how things are today; `V1_1` and `V1` state only where they differ. Services know nothing of
versions: what is behaviour reaches them as an ordinary argument.
"""

import functools
import http
import math

import falcon
import msgspec

from queueservice.api import media
from queueservice.api.schemas import buckets as buckets_schemas
from queueservice.api.schemas import claims as claims_schemas
from queueservice.api.schemas import home as home_schemas
from queueservice.api.schemas import messages as schemas
from queueservice.api.schemas import sequences as sequences_schemas
from queueservice.api.schemas import user_messages as user_messages_schemas
from queueservice.model import errors, messages
from queueservice.services import claims as claims_service
from queueservice.services import messages as messages_service

UNSET = msgspec.UNSET

_NEAR = [digits.encode() for digits in messages.NEAR]


def _given(value):
    return None if value is UNSET else value


class Dialect:
    """What holds for a request or an answer before it is known what it is about."""

    path: str
    client_known = True  # whether Client-ID means anything
    client_required = False
    project_required = True
    content_location = False
    microversions = False
    any_slash = False  # whether a slash at the end of a path may be there or not
    takes_forms = False  # whether a document may be a form, too
    error_out = home_schemas.ErrorOut

    def check_project(self, project: str, of_token: str | None, of_header: str | None) -> None:
        """Check the project of a URL against what else says whose request it is.

        :raises ServiceError: they cannot both be meant.
        """
        if of_token not in (None, project):
            raise errors.NotFound(description='There is no such project.')

    def refuse_nobody(self) -> falcon.HTTPError:
        """What a request is answered of which nothing says whose it is."""
        return falcon.HTTPBadRequest(
            title='Project-Id Missing',
            description='The header X-Project-Id was missing. Set it to your project id.',
        )

    def error(self, error: falcon.HTTPError, retry_after: str | None):
        """The document of an error, an `error_out`; `retry_after` is what the header says."""
        return home_schemas.ErrorOut(error.title, error.description or UNSET)


class V2(Dialect):
    path = '/v2'
    client_required = True  # Client-ID on every route
    creates_queues = True  # a post makes its queue
    queue_defaults = True  # a message takes the queue's ttl and delay
    reserved_attributes = True  # queues show the reserved attributes that they do not set
    empty_pages = True  # nothing found is an empty document; otherwise 204
    claim_defaults = True  # a claim may be asked for without a document
    idempotency = True
    renewal_grace = None  # s, where a renewal does not say; None: the operator's default
    allows_pop = True
    filters = True  # queues can be listed by name, by metadata, and counted
    delays = True  # readers may ask for delayed messages
    annotates = True  # messages show their checksum and where a dead letter came from
    delete_wants = 'Either the parameter "ids" or the parameter "pop" is required, and not both.'

    post_in = schemas.PostIn
    post_out = schemas.PostOut
    message_out = schemas.MessageOut
    bare_out = schemas.MessagesOut[message_out]
    claim_in = claims_schemas.ClaimIn
    renewal_in = claims_schemas.ClaimPatchIn

    _post = msgspec.json.Decoder(post_in)
    _claim = msgspec.json.Decoder(claim_in)
    _renewal = msgspec.json.Decoder(renewal_in)

    # What clients send

    def read_messages(self, raw: bytes) -> list[messages.Posted]:
        """The messages of a post, each checked to be one that can be stored."""
        posted = self._envelope(media.decode(raw, self._post))
        if not posted:
            raise media.empty_post()
        if not media.is_plain(raw):
            for one in posted:
                media.check_value(bytes(one.body), 'The body of a message')
        return posted

    def read_claim(self, raw: bytes) -> tuple[int | None, int | None]:
        """(ttl, grace) of a new claim; None where the default is to be taken."""
        if not raw:
            return None, None
        claim = media.decode(raw, self._claim)
        return _given(claim.ttl), _given(claim.grace)

    def read_renewal(self, raw: bytes) -> tuple[int | None, int | None]:
        """(ttl, grace) of a claim that goes on; at least one of them is given."""
        claim = media.decode(raw, self._renewal)
        if claim.ttl is UNSET and claim.grace is UNSET:
            raise media.empty_renewal()
        return _given(claim.ttl), _given(claim.grace)

    # What clients get

    # Messages, and links to them, are written as text, the same that encoding an object of `schemas` for each would
    # make, in half the time. What goes in needs no escaping: hex digits, numbers, quoted paths, JSON. `base` is the
    # path of their queue.

    def posted(self, base: str, message_ids: list[str]) -> bytes:
        """A `post_out`."""
        return _write_posted(base, message_ids, '')

    def page(self, base: str, listed: messages_service.Listed, next_href: str | None) -> bytes:
        """A page of messages, and the link to the next one if there is any."""
        links = [] if next_href is None else [schemas.Link(next_href)]
        return self.messages(base, listed, b'{"messages":', b',"links":%b}' % media.encode(links))

    def bare(self, base: str, listed: messages_service.Listed) -> bytes:
        """Messages that come without links, a `bare_out`: read by ids, or claimed."""
        return self.messages(base, listed, b'{"messages":', b'}')

    def messages(self, base: str, listed: messages_service.Listed, before: bytes = b'', behind: bytes = b'') -> bytes:
        """Messages as a reader sees them: an array of `message_out`, and what is to stand before and behind it.

        The busiest loop of the service.
        """
        now = listed.now
        bits, mask = messages.NEAR_BITS, messages.NEAR_MASK
        far = opening = link = rest = claim_id = None
        youngest = oldest = least = most = 0.0
        pieces = [before, b'[']
        for message in listed.messages:
            # Only what differs from the message before is written anew. Mostly they lie near each other, were posted
            # in one second, to live equally long, and share a claim.
            position = message.position
            if position >> bits != far:
                far = position >> bits
                opening, link = _id_and_link(base, listed.queue_id, far)
            created_at = message.created_at
            if not (
                youngest <= now - created_at < oldest
                and least < message.expires_at - created_at < most
                and message.claim_id == claim_id
            ):
                ttl, age, claim_id = message.ttl, message.age(now), message.claim_id
                youngest, oldest, least, most = age or -math.inf, age + 1, ttl - 0.5, ttl + 0.5
                claim = '' if claim_id is None else f'?claim_id={claim_id}'
                rest = f'{claim}","ttl":{ttl},"age":{age},"body":'.encode()
            place = _NEAR[position & mask]
            pieces += opening, place, link, place, rest, message.body
            if message.state or message.checksum:
                pieces.append(self._annotation(message))
        if listed.messages:
            pieces[2] = pieces[2].removeprefix(b'},')
            pieces.append(b'}')
        pieces += b']', behind
        return b''.join(pieces)

    def popped(self, listed: messages_service.Listed):
        shown = []
        for message in listed.messages:
            one = schemas.PoppedOut(
                id=messages.encode_position(listed.queue_id, message.position),
                age=message.age(listed.now),
                ttl=message.ttl,
                body=msgspec.Raw(message.body),
                claim_count=message.claim_count - 1,  # the store counts the pop, clients do not
            )
            if self.annotates:
                state = messages.read_state(message)
                one.checksum = message.checksum or UNSET
                one.dead_letter, one.copied_from = state.dead_letter or UNSET, state.copied_from or UNSET
            shown.append(one)
        return schemas.MessagesOut(msgspec.Raw(media.encode(shown)))

    def claim(self, base: str, held: claims_service.Held):
        return claims_schemas.ClaimOut(
            age=held.age,
            ttl=held.ttl,
            messages=msgspec.Raw(self.messages(base, held.listed)),
            href=f'{base}/claims/{held.id}',
        )

    # Inside

    def _annotation(self, message):
        """What only some messages have, as further members of a JSON object."""
        state = messages.read_state(message)
        annotation = media.encode(
            schemas.Annotation(message.checksum or UNSET, state.dead_letter or UNSET, state.copied_from or UNSET)
        )
        return b',' + annotation[1:-1] if self.annotates and annotation != b'{}' else b''

    def _envelope(self, post):
        return post.messages


class V1_1(V2):
    path = '/v1.1'
    queue_defaults = False
    reserved_attributes = False
    filters = False
    delays = False
    annotates = False

    post_in = schemas.PostInV1_1
    message_out = schemas.MessageOutV1_1
    bare_out = schemas.MessagesOut[message_out]

    _post = msgspec.json.Decoder(post_in)


class V1(V1_1):
    path = '/v1'
    client_required = False
    project_required = False
    creates_queues = False
    empty_pages = False
    claim_defaults = False
    idempotency = False
    renewal_grace = 0
    allows_pop = False
    content_location = True
    delete_wants = 'Missing parameter: "ids" is required.'

    post_in = schemas.PostInV1
    post_out = schemas.PostOutV1
    message_out = schemas.MessageOutV1
    bare_out = list[message_out]
    claim_in = claims_schemas.ClaimInV1
    renewal_in = claims_schemas.ClaimPatchInV1

    _post = msgspec.json.Decoder(post_in)
    _claim = msgspec.json.Decoder(claim_in)
    _renewal = msgspec.json.Decoder(renewal_in)

    def read_claim(self, raw):
        claim = media.decode(raw, self._claim)
        return claim.ttl, claim.grace

    def read_renewal(self, raw):
        claim = media.decode(raw, self._renewal)
        return claim.ttl, _given(claim.grace)

    def posted(self, base, message_ids):
        return _write_posted(base, message_ids, ',"partial":false')

    def messages(self, base, listed, before=b'', behind=b''):
        shown = [
            schemas.MessageOutV1(
                _href(base, messages.encode_position(listed.queue_id, message.position), message.claim_id),
                message.ttl,
                message.age(listed.now),
                msgspec.Raw(message.body),
            )
            for message in listed.messages
        ]
        return b'%b%b%b' % (before, media.encode(shown), behind)

    def bare(self, base, listed):
        return self.messages(base, listed)

    def _envelope(self, post):
        return post


class UserMessages(Dialect):
    """The messages of the block storage API."""

    path = '/v3'
    client_known = False
    microversions = True
    error_out = dict[str, user_messages_schemas.FaultOut]

    _NAMES = {
        400: 'badRequest',
        401: 'unauthorized',
        403: 'forbidden',
        404: 'itemNotFound',
        405: 'badMethod',
        409: 'conflictingRequest',
        413: 'overLimit',
        415: 'badMediaType',
        429: 'overLimit',
        501: 'notImplemented',
        503: 'serviceUnavailable',
    }

    def check_project(self, project, of_token, of_header):
        if (of_token or of_header) not in (None, project):
            raise errors.NameInvalid(
                description='Malformed request url: the project in it is not the one that the token, or X-Project-Id, '
                'is for.'
            )

    def error(self, error, retry_after):
        # The framework's own errors come without a sentence.
        text = error.description or http.HTTPStatus(error.status_code).description or error.title
        fault = user_messages_schemas.FaultOut(error.status_code, text, retry_after or UNSET)
        return {self._NAMES.get(error.status_code, 'computeFault'): fault}


class Buckets(Dialect):
    """Captured HTTP exchanges."""

    path = '/buckets'
    client_known = False
    takes_forms = True
    error_out = buckets_schemas.FailureOut

    def error(self, error, retry_after):
        text = error.description or http.HTTPStatus(error.status_code).description or error.title
        wait = f'Try again in {retry_after} s.' if retry_after else None
        failure = buckets_schemas.EnvelopeErrorOut(error.status_code, text, wait, error.title)
        return buckets_schemas.FailureOut(buckets_schemas.NothingOut(), failure, buckets_schemas.MetaOut('error'))


class StagedMessaging(Dialect):
    """Message sets that recipients get one by one."""

    path = '/api'
    client_known = False
    any_slash = True
    takes_forms = True
    error_out = sequences_schemas.DetailOut | list[str]

    def refuse_nobody(self):
        return falcon.HTTPUnauthorized(
            description='Authentication credentials were not provided. Send a token of this service, or X-Project-Id '
            'where nobody has to authenticate.',
            challenges=['Token'],
        )

    def error(self, error, retry_after):
        problems = getattr(error, 'facts', {}).get('problems')
        return problems or sequences_schemas.DetailOut(error.description or error.title)


#: Name in the configuration -> dialect, in the order in which versions are listed.
VERSIONS = {'1': V1(), '1.1': V1_1(), '2': V2()}
#: The same for the APIs beside the queue API.
FAMILIES = {'3': UserMessages(), 'buckets': Buckets(), 'staged': StagedMessaging()}
APIS = VERSIONS | FAMILIES


def find(path: str) -> Dialect:
    """How an API speaks that has, or would have, this path."""
    return next((one for one in FAMILIES.values() if f'{path}/'.startswith(f'{one.path}/')), VERSIONS['2'])


def _write_posted(base, message_ids, rest):
    separator = f'","{base}/messages/'
    return f'{{"resources":["{separator[3:]}{separator.join(message_ids)}"]{rest}}}'.encode()


@functools.lru_cache(maxsize=4096)
def _id_and_link(base, queue_id, far):
    """What stands before the last digits of a message's id in `V2.messages`, behind another message; and before them
    once more."""
    beginning = messages.encode_far(queue_id, far)
    return f'}},{{"id":"{beginning}'.encode(), f'","href":"{base}/messages/{beginning}'.encode()


def _href(base, message_id, claim_id):
    href = f'{base}/messages/{message_id}'
    return href if claim_id is None else f'{href}?claim_id={claim_id}'
