"""The samples of the API reference are what clients send and what the service answers.

One story is told for each version. Its requests are the samples; its answers are compared with the samples
member by member. Ids differ from run to run, so the first time that an id of a sample meets one of the
service they become a pair, and stay one to the end of the story. Durations measured by a clock of the
machine's own are compared by kind.
"""

import importlib.metadata
import json
import pathlib
import re
import typing
from unittest import mock

import msgspec
import testtools
import webtest

from queueservice.api import dialects, routes
from queueservice.model import captures, sequences
from queueservice.storage import tables
from tests.api import base
from tests.fixtures import deliveries, drivers, services

API_REF = pathlib.Path(__file__).parents[2] / 'api-ref' / 'source'
SAMPLES = API_REF / 'samples'

_NEW_YEAR = 1_767_225_600.0  # 2026-01-01T00:00:00Z
_PATCH = 'application/openstack-messaging-v2.0-json-patch'
_SECRET = b'a secret of at least thirty-two bytes'
_METHODS = ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE')
#: Ids, and secrets, of which the same holds.
_ID = re.compile(
    r'\b[0-9a-f]{24}\b|whsec_[A-Za-z0-9+/]{43}=|qs_[A-Za-z0-9_-]{43}|\b[0-9a-f]{32}\b'
    r'|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b'
)


class Step(typing.NamedTuple):
    """One exchange: what is sent where, and what must be answered."""

    method: str
    path: str  # below the version; ids in it are those of the samples
    status: int
    sends: str = ''  # name of a sample
    answers: str = ''  # name of a sample
    after: float = 0  # s that pass before
    content_type: str = 'application/json'
    given: str = ''  # a method of TestSamples that does before what no client does
    raw: bytes = b''  # sent instead of a document


PUBLIC = (
    Step('GET', '/', 300, answers='versions'),
    Step('GET', '/v3/', 200, answers='versions-v3'),
    Step('GET', '/healthz', 200, answers='liveness'),
    Step('GET', '/readyz', 204),
    Step('HEAD', '/readyz', 204),
    Step('GET', '/media/{file_token}/{file_name}', 404),
    Step('HEAD', '/media/{file_token}/{file_name}', 404),
)

V1 = (
    Step('GET', '/', 200, answers='home-v1'),
    Step('GET', '/health', 204),
    Step('HEAD', '/health', 204),
    Step('PUT', '/queues/orders', 201),
    Step('GET', '/queues/orders', 204),
    Step('HEAD', '/queues/orders', 204),
    Step('PUT', '/queues/orders/metadata', 204, sends='metadata-v1'),
    Step('GET', '/queues/orders/metadata', 200, answers='metadata-v1'),
    Step('PUT', '/queues/orders-failed', 201),
    Step('GET', '/queues?limit=2', 200, answers='queues-list-response-v1'),
    Step('POST', '/queues/orders/messages', 201, 'messages-post-request-v1', 'messages-post-response-v1'),
    Step('GET', '/queues/orders/messages?limit=2&echo=true', 200, answers='messages-list-response-v1', after=20),
    Step('GET', '/queues/orders/messages/{first}', 200, answers='message-show-response-v1'),
    Step('GET', '/queues/orders/messages?ids={first},{second}', 200, answers='messages-show-response-v1'),
    Step('POST', '/queues/orders/claims?limit=1', 201, 'claim-create-request', 'claim-create-response-v1'),
    Step('GET', '/queues/orders/claims/{claim}', 200, answers='claim-show-response-v1', after=5),
    Step('GET', '/queues/orders/stats', 200, answers='stats-response'),
    Step('PATCH', '/queues/orders/claims/{claim}', 204, 'claim-update-request'),
    Step('DELETE', '/queues/orders/messages/{first}?claim_id={claim}', 204),
    Step('DELETE', '/queues/orders/claims/{claim}', 204),
    Step('DELETE', '/queues/orders/messages?ids={second},{third}', 204),
    Step('DELETE', '/queues/orders', 204),
)

V1_1 = (
    Step('GET', '/', 200, answers='home-v1.1'),
    Step('GET', '/ping', 204),
    Step('HEAD', '/ping', 204),
    Step('GET', '/health', 200, answers='health-response'),
    Step('PUT', '/queues/orders', 201, 'queue-create-request'),
    Step('GET', '/queues/orders', 200, answers='queue-show-response-v1.1'),
    Step('PUT', '/queues/orders-failed', 201),
    Step('GET', '/queues?limit=2', 200, answers='queues-list-response-v1'),
    Step('POST', '/queues/orders/messages', 201, 'messages-post-request', 'messages-post-response'),
    Step('GET', '/queues/orders/messages?limit=2&echo=true', 200, answers='messages-list-response', after=20),
    Step('GET', '/queues/orders/messages/{first}', 200, answers='message-show-response'),
    Step('GET', '/queues/orders/messages?ids={first},{second}', 200, answers='messages-show-response'),
    Step('POST', '/queues/orders/claims?limit=1', 201, 'claim-create-request', 'claim-create-response'),
    Step('GET', '/queues/orders/claims/{claim}', 200, answers='claim-show-response', after=5),
    Step('GET', '/queues/orders/stats', 200, answers='stats-response'),
    Step('PATCH', '/queues/orders/claims/{claim}', 204, 'claim-update-request'),
    Step('DELETE', '/queues/orders/messages/{first}?claim_id={claim}', 204),
    Step('DELETE', '/queues/orders/claims/{claim}', 204),
    Step('DELETE', '/queues/orders/messages?pop=1', 200, answers='messages-pop-response'),
    Step('DELETE', '/queues/orders/messages?ids={third}', 204),
    Step('DELETE', '/queues/orders', 204),
)

V2 = (
    Step('GET', '/', 200, answers='home'),
    Step('GET', '/ping', 204),
    Step('HEAD', '/ping', 204),
    Step('GET', '/health', 200, answers='health-response'),
    Step('PUT', '/queues/orders', 201, 'queue-create-request'),
    Step('PATCH', '/queues/orders', 200, 'queue-update-request', 'queue-update-response', content_type=_PATCH),
    Step('GET', '/queues/orders', 200, answers='queue-update-response'),
    Step('PUT', '/queues/orders-failed', 201),
    Step('GET', '/queues/orders-failed', 200, answers='queue-show-response'),
    Step('POST', '/queues/orders/share', 200, 'queue-share-request', 'queue-share-response'),
    Step('GET', '/queues?limit=2&detailed=true&with_count=true', 200, answers='queues-list-response'),
    Step('POST', '/queues/orders/messages', 201, 'messages-post-request', 'messages-post-response'),
    Step('GET', '/queues/orders/messages?limit=2&echo=true', 200, answers='messages-list-response', after=20),
    Step('GET', '/queues/orders/messages/{first}', 200, answers='message-show-response'),
    Step('GET', '/queues/orders/messages?ids={first},{second}', 200, answers='messages-show-response'),
    Step('POST', '/queues/orders/claims?limit=1', 201, 'claim-create-request', 'claim-create-response'),
    Step('GET', '/queues/orders/claims/{claim}', 200, answers='claim-show-response', after=5),
    Step('GET', '/queues/orders/stats', 200, answers='stats-response'),
    Step('GET', '/projects', 200, answers='projects-list-response'),
    Step('GET', '/projects/shop', 200, answers='project-show-response'),
    Step('PATCH', '/projects/shop', 200, 'project-update-request', 'project-update-response'),
    Step('PATCH', '/queues/orders/claims/{claim}', 204, 'claim-update-request'),
    Step('DELETE', '/queues/orders/messages/{first}?claim_id={claim}', 204),
    Step('DELETE', '/queues/orders/claims/{claim}', 204),
    Step('DELETE', '/queues/orders/messages?pop=1', 200, answers='messages-pop-response'),
    # The message that is left is claimed and never deleted, three times; the fourth claim meets a dead letter.
    Step('POST', '/queues/orders/claims', 201, after=60),
    Step('POST', '/queues/orders/claims', 201, after=301),
    Step('POST', '/queues/orders/claims', 201, after=301),
    Step('POST', '/queues/orders/claims', 204, after=301),
    Step('GET', '/queues/orders-failed/messages?echo=true', 200, answers='messages-list-dead-letter-response'),
    Step('GET', '/queues/orders/messages?limit=0', 400, answers='error-response'),
    Step('DELETE', '/queues/orders/messages?ids={third}', 204),
    Step('POST', '/queues/orders/subscriptions', 201, 'subscription-create-request', 'subscription-create-response'),
    Step('GET', '/queues/orders/subscriptions?limit=2', 200, answers='subscriptions-list-response', after=12),
    Step('GET', '/queues/orders/subscriptions/{subscription}', 200, answers='subscription-show-response'),
    Step('GET', '/subscriptions/{subscription}', 200, answers='subscription-show-response'),
    Step('PATCH', '/queues/orders/subscriptions/{subscription}', 204, 'subscription-update-request'),
    Step('PUT', '/queues/orders/subscriptions/{subscription}/confirm', 204, 'subscription-confirm-request'),
    Step('POST', '/queues/orders/subscriptions/{subscription}/secret', 200, answers='subscription-secret-response'),
    Step(
        'GET',
        '/queues/orders/subscriptions/{subscription}/deliveries?limit=2',
        200,
        answers='deliveries-list-response',
        given='deliver',
    ),
    Step(
        'POST', '/queues/orders/subscriptions/{subscription}/redeliver', 202, 'redeliver-request', 'redeliver-response'
    ),
    Step(
        'GET',
        '/queues/orders/subscriptions/{subscription}/deliveries/{subscription}-{first}',
        200,
        answers='delivery-show-response',
    ),
    Step('DELETE', '/queues/orders/subscriptions/{subscription}/deliveries/{subscription}-{second}', 204),
    Step('DELETE', '/queues/orders/subscriptions/{subscription}', 204),
    Step('POST', '/queues/orders-failed/redrive', 200, 'queue-redrive-request', 'queue-redrive-response'),
    Step('POST', '/queues/orders-failed/purge', 204, 'queue-purge-request'),
    Step('DELETE', '/queues/orders', 204),
)

#: Told of, before the story begins.
TOLD = {
    'action': 'message',
    'detail': 'timeout',
    'resource_type': 'SUBSCRIPTION',
    'resource_uuid': '019b76daac004c7f1d9a2b60',
    'request_id': 'req-5e4d1a90-7c3b-4000-8000-0000000001f4',
    'id_from': 'order',
}
V3 = (
    Step('GET', '/messages?limit=1', 200, answers='user-messages-list-response', after=3600),
    Step('GET', '/messages/b80abb98-0a8d-5afa-8187-944a09e2a46b', 200, answers='user-message-show-response'),
    Step('DELETE', '/messages/b80abb98-0a8d-5afa-8187-944a09e2a46b', 202),
    Step('GET', '/messages/b80abb98-0a8d-5afa-8187-944a09e2a46b', 404, answers='user-message-error-response'),
)

#: What the first bucket of the story is called, what its messages are, and its collections.
BUCKET = 'r55kpraoqohh'
UUIDS = (
    '7adffbbc-9333-446e-b84e-249e3034fca2',
    '3034fca2-9333-446e-b84e-249e3446eca2',
    'cfaf2408-9333-446e-b84e-249e3034fca2',
    '0c5ad7cd-2f54-4e3a-9a6e-3dd4a7f1b2c0',
)
_MESSAGE = f'/{BUCKET}/messages/{UUIDS[0]}'
_COLLECTION = f'/{BUCKET}/collections/{UUIDS[2]}'
BUCKETS = (
    Step('POST', '', 201, 'bucket-create-request', 'bucket-show-response'),
    Step('GET', '', 200, answers='buckets-list-response'),
    Step('GET', f'/{BUCKET}', 200, answers='bucket-show-response'),
    Step('POST', f'/{BUCKET}/messages', 200, 'bucket-messages-post-request', 'bucket-messages-post-response'),
    Step('GET', f'/{BUCKET}/messages?count=1', 200, answers='bucket-messages-list-response'),
    Step('GET', f'/{BUCKET}/messages?count=1&format=har', 200, answers='bucket-messages-har-response'),
    Step('GET', _MESSAGE, 200, answers='bucket-message-show-response'),
    Step('POST', f'{_MESSAGE}/replay', 409),
    Step('GET', f'/{BUCKET}/errors', 200, answers='bucket-messages-list-response'),
    Step('POST', f'/{BUCKET}/collections', 201, 'collection-create-request', 'collection-create-response'),
    Step('GET', f'/{BUCKET}/collections', 200, answers='collections-list-response'),
    Step('PUT', f'{_COLLECTION}/{UUIDS[0]}', 201, 'collection-message-put-request'),
    Step('GET', _COLLECTION, 200, answers='collection-show-response'),
    Step('DELETE', f'{_COLLECTION}/{UUIDS[0]}', 204),
    Step('PUT', f'{_COLLECTION}/{UUIDS[0]}', 201),
    Step('DELETE', f'/{BUCKET}/collection/{UUIDS[2]}/{UUIDS[0]}', 204),
    Step('DELETE', _COLLECTION, 204),
    Step('POST', f'/{BUCKET}/collections', 201, 'collection-create-request'),
    Step('DELETE', f'/{BUCKET}/collection/{UUIDS[3]}', 204),
    Step('GET', _COLLECTION, 404, answers='bucket-error-response'),
    Step('DELETE', f'/{BUCKET}/messages', 204),
    Step('DELETE', f'/{BUCKET}', 204),
)

#: A file, as forms send it.
_UPLOAD = (
    b'--of-the-form\r\nContent-Disposition: form-data; name="content"; filename="week-1.mp3"\r\n\r\n'
    b'not quite MPEG\r\n--of-the-form--\r\n'
)
_FORM = {'raw': _UPLOAD, 'content_type': 'multipart/form-data; boundary=of-the-form'}
STAGED = (
    Step('POST', '/v1/user/token/', 201, 'staged-token-request', 'staged-token-response'),
    Step('POST', '/v1/schedule/', 201, 'schedule-create-request', 'schedule-response'),
    Step('GET', '/v1/schedule/', 200, answers='schedules-list-response'),
    Step('GET', '/v1/schedule/1/', 200),
    Step('PUT', '/v1/schedule/1/', 200, 'schedule-create-request'),
    Step('PATCH', '/v1/schedule/1/', 200, 'schedule-update-request', 'schedule-update-response'),
    Step('GET', '/v1/schedule/1/next/?count=3', 200, answers='schedule-next-response'),
    Step('POST', '/v1/messageset/', 201, 'messageset-create-request', 'messageset-response'),
    Step('GET', '/v1/messageset/?short_name=welcome', 200, answers='messagesets-list-response'),
    Step('GET', '/v1/messageset/1/', 200),
    Step('PUT', '/v1/messageset/1/', 200, 'messageset-create-request'),
    Step('PATCH', '/v1/messageset/1/', 200, 'messageset-update-request'),
    Step('POST', '/v1/binarycontent/', 201, answers='binarycontent-response', **_FORM),
    Step('GET', '/v1/binarycontent/', 200, answers='binarycontents-list-response'),
    Step('GET', '/v1/binarycontent/1/', 200),
    Step('POST', '/v1/message/', 201, 'set-message-create-request', 'set-message-response'),
    Step('GET', '/v1/message/?messageset=1', 200, answers='set-messages-list-response'),
    Step('GET', '/v1/message/1/', 200),
    Step('PUT', '/v1/message/1/', 200, 'set-message-create-request'),
    Step('PATCH', '/v1/message/1/', 200, 'set-message-update-request'),
    Step('GET', '/v1/message/1/content', 200, answers='set-message-content-response'),
    Step('GET', '/v1/messageset/1/messages', 200, answers='messageset-messages-response'),
    Step('GET', '/v1/messageset_languages/', 200, answers='messageset-languages-response'),
    Step('POST', '/v1/subscriptions/', 201, 'enrolment-create-request', 'enrolment-response'),
    Step('GET', '/v1/subscriptions/?active=true&limit=1', 200, answers='enrolments-list-response'),
    Step('GET', '/v1/subscriptions/{enrolment}/', 200),
    Step('PUT', '/v1/subscriptions/{enrolment}/', 200, 'enrolment-create-request'),
    Step('PATCH', '/v1/subscriptions/{enrolment}/', 200, 'enrolment-update-request'),
    Step('POST', '/v1/subscriptions/request', 201, 'enrolment-request-request', 'staged-accepted-response'),
    Step('POST', '/v1/subscriptions/{enrolment}/send', 201, answers='staged-accepted-response'),
    Step('POST', '/v1/subscriptions/{enrolment}/resend', 202, answers='staged-accepted-response'),
    Step('POST', '/v1/schedule/1/send/', 202, answers='schedule-send-response'),
    Step('GET', '/v1/failed-tasks/', 200, answers='failed-tasks-list-response'),
    Step('GET', '/v1/failed-tasks/1/', 200, answers='failed-task-response'),
    Step('POST', '/v1/failed-tasks/', 201, answers='failed-tasks-requeue-response'),
    Step('GET', '/metrics/', 200, answers='staged-metrics-response'),
    Step('POST', '/metrics/', 201, answers='staged-metrics-fire-response'),
    Step('GET', '/health/', 200, answers='staged-health-response'),
    Step('POST', '/v1/messageset/', 400, 'messageset-update-request', 'staged-fields-error-response'),
    Step('DELETE', '/v1/schedule/1/', 409, answers='staged-error-response'),
    Step('PUT', '/v1/binarycontent/1/', 200, **_FORM),
    Step('PATCH', '/v1/binarycontent/1/', 200, **_FORM),
    Step('DELETE', '/v1/binarycontent/1/', 204),
    Step('DELETE', '/v1/message/1/', 404),
    Step('DELETE', '/v1/subscriptions/{enrolment}/', 204),
    Step('DELETE', '/v1/messageset/1/', 409),
)

STORIES = {'': PUBLIC, '1': V1, '1.1': V1_1, '2': V2, '3': V3, 'buckets': BUCKETS, 'staged': STAGED}


def load(name: str):
    return json.loads((SAMPLES / f'{name}.json').read_text())


class Pairs:
    """Ids of the samples and the ids of the service that stand for them."""

    def __init__(self):
        self._theirs = {}

    def meet(self, sample: str, answer: str) -> str:
        """Pair the ids in two texts in their order; return the sample with the ids of the answer."""
        for ours, theirs in zip(_ID.findall(sample), _ID.findall(answer), strict=False):
            if theirs not in self._theirs.values():
                self._theirs.setdefault(ours, theirs)
        return self.translate(sample)

    def translate(self, text: str) -> str:
        return _ID.sub(lambda match: self._theirs.get(match[0], match[0]), text)


class TestSamples(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.service = service = services.Service(drivers.build_memory(), signing_secrets=(_SECRET,), admin_mode=True)
        self.addCleanup(service.driver.close)
        self.clock = service.clock
        self.clock.advance(_NEW_YEAR - self.clock())
        self.app = webtest.TestApp(service.app)

    def test_public_documents(self):
        self.tell('')

    def test_v1(self):
        self.tell('1')

    def test_v1_1(self):
        self.tell('1.1')

    def test_v2(self):
        self.tell('2')

    def test_staged_messaging(self):
        failure = sequences.Failure(
            1,
            'shop',
            '0c4ad2b6-9e07-4c8e-8a8e-2b6ad3a0c1d7',
            '2d8f2f2c-7d5b-4f0e-9b0e-3a1c3f3f9d11',
            self.clock(),
            'The identity store answers 502.',
            'status',
            False,
        )
        self.service.driver.records.insert(tables.FAILURES, [msgspec.structs.asdict(failure)])
        self.tell('staged')

    def test_v3(self):
        self.service.services.user_messages.write('shop', now=self.clock(), **TOLD)
        self.tell('3')

    def test_buckets(self):
        self.enterContext(mock.patch.object(captures, 'new_key', return_value=BUCKET))
        self.enterContext(mock.patch.object(captures, 'new_id', side_effect=UUIDS))
        self.enterContext(mock.patch.object(importlib.metadata, 'version', return_value='1.0'))
        self.tell('buckets')

    def tell(self, version):
        # The ids that the paths of a story need: those that the first post and the first claim show.
        post = load('messages-post-response-v1' if version == '1' else 'messages-post-response')
        first, second, third = (href.rpartition('/')[2] for href in post['resources'])
        claim = load('claim-show-response')['href'].rpartition('/')[2]
        subscription = load('subscription-create-response')['subscription_id']
        enrolment = load('enrolment-response')['id']
        file = {'file_token': '0' * 32, 'file_name': 'week-1.mp3'}
        pairs = Pairs()
        for step in STORIES[version]:
            self.clock.advance(step.after)
            path = step.path.format(
                first=first,
                second=second,
                third=third,
                claim=claim,
                subscription=subscription,
                enrolment=enrolment,
                **file,
            )
            if step.given:
                getattr(self, step.given)(
                    pairs.translate(subscription), pairs.translate(first), pairs.translate(second)
                )
            answer = self.send(version, step, pairs.translate(path))
            self.assertEqual(step.status, answer.status_int, f'{step.method} {path}: {answer.text}')
            if step.answers:
                self.compare(self.spelled(load(step.answers), version), json.loads(answer.body), pairs, step.answers)
            elif step.status == 204:
                self.assertEqual(b'', answer.body)

    def deliver(self, subscription, first, second):
        """Be the worker: deliver the second message, and fail to deliver the first."""
        for message, ago, status, outcome, error in (
            (first, 20, 404, 'failed', 'status'),
            (second, 10, 200, 'delivered', None),
        ):
            at = self.clock() - ago
            ended = deliveries.end(
                subscription,
                message,
                outcome,
                request_id='req-8f4c2b1e-6a0d-4a3e-9d57-1c2f60b7e8a9',
                first_at=at,
                last_at=at,
                ended_at=at,
                status=status,
                error=error,
            )
            self.service.services.deliveries.record([ended], self.clock())

    def send(self, version, step, path):
        headers = {
            'Host': 'queues.example.com',
            'X-Project-Id': 'shop',
            'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c',
            **base.HEADERS.get(version, {}),
        }
        body = b''
        if step.raw:
            headers['Content-Type'], body = step.content_type, step.raw
        elif step.sends:
            headers['Content-Type'] = step.content_type
            body = (SAMPLES / f'{step.sends}.json').read_bytes()
        prefix = dialects.APIS[version].path if version else ''
        return self.app.request(prefix + path, method=step.method, headers=headers, body=body, status='*')

    def spelled(self, sample, version):
        """The sample as another version than the one it was written for gives it out: with its own paths."""
        text = json.dumps(sample)
        return json.loads(re.sub(r'"/v[0-9.]+/', f'"{dialects.APIS[version].path}/', text)) if version else sample

    def compare(self, sample, answer, pairs, place):
        if isinstance(sample, dict) and isinstance(answer, dict):
            self.assertEqual(sorted(sample), sorted(answer), place)
            for name, value in sample.items():
                self.compare(value, answer[name], pairs, f'{place}.{name}')
        elif isinstance(sample, list) and isinstance(answer, list):
            self.assertEqual(len(sample), len(answer), place)
            for index, value in enumerate(sample):
                self.compare(value, answer[index], pairs, f'{place}[{index}]')
        elif isinstance(sample, str) and isinstance(answer, str):
            self.assertEqual(pairs.meet(sample, answer), answer, place)
        elif isinstance(sample, float) and isinstance(answer, float):
            pass  # a measured duration
        else:
            self.assertEqual(sample, answer, place)


class TestCompleteness(testtools.TestCase):
    def test_every_route_of_every_version_is_in_a_story(self):
        for api in routes.APIS:
            served = {
                (method, route.path)
                for route in routes.served(api)
                for method in _METHODS
                if hasattr(route.resource, f'on_{method.lower()}')
            }
            told = {(step.method, _route(api, step.path)) for step in STORIES[api]}
            self.assertEqual(set(), served - told, f'API {api}: these are in no story')

    def test_every_public_route_is_in_a_story(self):
        served = {
            (method, route.path)
            for route in routes.PUBLIC_ROUTES
            for method in _METHODS
            if hasattr(route.resource, f'on_{method.lower()}')
        }
        self.assertEqual(set(), served - {(step.method, step.path) for step in PUBLIC})

    def test_every_sample_is_checked_and_shown(self):
        written = {path.stem for path in SAMPLES.glob('*.json')}
        steps = [step for story in STORIES.values() for step in story]
        checked = {name for step in steps for name in (step.sends, step.answers) if name}
        pages = ''.join(path.read_text() for path in sorted(API_REF.iterdir()) if path.suffix in ('.inc', '.rst'))
        shown = set(re.findall(r'literalinclude:: samples/(\S+)\.json', pages))
        self.assertEqual(written, checked)
        self.assertEqual(written, shown)


def _route(api, path):
    """The route that a path of a story is on, as `routes` writes it."""
    path = path.partition('?')[0]
    for route in routes.served(api):
        if re.fullmatch(re.sub(r'\{\w+\}', '[^/]+', route.path), path):
            return route.path
    return path
