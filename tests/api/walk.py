"""A walk over the whole API: every route and method of every version and family, made of the route table.

Whoever adds a route that takes a body or ids is told by the tests that walk to say here how it is asked.
"""

import itertools
import typing

import msgspec

from queueservice.api import routes
from queueservice.api.resources import base as resources
from queueservice.model import captures, deliveries, sequences, user_messages
from queueservice.storage import tables
from tests.api import base
from tests.fixtures import deliveries as fixtures

METHODS = ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE')

_QUEUE = '/queues/{queue_name}'
_MESSAGES = '/queues/{queue_name}/messages'
_MESSAGE = '/queues/{queue_name}/messages/{message_id}'
_CLAIMS = '/queues/{queue_name}/claims'
_CLAIM = '/queues/{queue_name}/claims/{claim_id}'
_SUBSCRIPTIONS = '/queues/{queue_name}/subscriptions'
_SUBSCRIPTION = '/queues/{queue_name}/subscriptions/{subscription_id}'
_DELIVERIES = '/queues/{queue_name}/subscriptions/{subscription_id}/deliveries'

_BUCKET_MESSAGES = '/{bucket_key}/messages'
_COLLECTION = '/{bucket_key}/collections/{collection_uuid}'

#: What to ask where a method is worth more than one request, or needs a query.
_ASKED = {
    ('GET', '/queues'): ('/queues?limit=1', '/queues?detailed=true&with_count=true&name=e&a=1'),
    ('GET', _MESSAGES): (
        f'{_MESSAGES}?echo=true&include_claimed=true&include_delayed=true',
        f'{_MESSAGES}?marker={{marker}}',
        f'{_MESSAGES}?ids={{message_id}},{{claimed_id}}',
    ),
    ('DELETE', _MESSAGES): (
        f'{_MESSAGES}?ids={{message_id}}',
        f'{_MESSAGES}?ids={{message_id}},{{claimed_id}}&claim_ids={{claim_id}}',
        f'{_MESSAGES}?pop=1&ids=',
    ),
    ('DELETE', _MESSAGE): (_MESSAGE, f'{_MESSAGES}/{{claimed_id}}?claim_id={{claim_id}}'),
    ('POST', _CLAIMS): (f'{_CLAIMS}?limit=5',),
    ('GET', _SUBSCRIPTIONS): (_SUBSCRIPTIONS, f'{_SUBSCRIPTIONS}?limit=1&marker={{subscription_id}}'),
    ('GET', _DELIVERIES): (
        f'{_DELIVERIES}?limit=1',
        f'{_DELIVERIES}?outcome=failed&since=2001-02-03T04:05:06Z&marker=',
        f'{_DELIVERIES}?message_id={{message_id}}',
    ),
    ('GET', '/v1/messageset/'): ('/v1/messageset/?limit=1&offset=0&short_name=used&content_type=text',),
    ('GET', '/v1/message/'): ('/v1/message/?messageset={messageset_id}&sequence_number=1&lang=eng',),
    ('GET', '/v1/subscriptions/'): (
        '/v1/subscriptions/',
        '/v1/subscriptions/?messageset={messageset_id}&schedule={schedule_id}&active=true&created_after=2020-01-01',
        '/v1/subscriptions/?metadata_has_key=secret&metadata_not_has_key=b&messageset_contains=e',
        '/v1/subscriptions/?metadata={{}}&created_at=2020-01-01&updated_at=2020-01-01',
    ),
    ('GET', '/messages'): (
        '/messages',
        '/messages?limit=1&marker={user_message_id}',
        '/messages?sort=resource_uuid:asc,event_id&offset=0&resource_type=SUBSCRIPTION',
    ),
    ('GET', ''): ('?count=5&marker={bucket_key}',),
    ('POST', ''): ('?name=walked&team_id=&team_uuid=',),
    ('GET', _BUCKET_MESSAGES): (
        f'{_BUCKET_MESSAGES}?count=5&since=1&before=9000000000&unique_identifier=walked',
        f'{_BUCKET_MESSAGES}?format=har',
    ),
}

_ENROLMENT = b'{"identity":"i","messageset":{messageset_id},"lang":"eng","schedule":{schedule_id}}'
_UPLOAD = b'--a boundary\r\nContent-Disposition: form-data; name="content"; filename="a"\r\n\r\nx\r\n--a boundary--\r\n'

#: What to send. Fields stand in it as in paths. A PUT, POST or PATCH that is not here stops the walk.
_SENT = {
    ('PUT', _QUEUE): b'{"a":1}',
    ('PATCH', _QUEUE): b'[{"op":"add","path":"/metadata/walked","value":1}]',
    ('PUT', f'{_QUEUE}/metadata'): b'{"a":1}',
    ('POST', f'{_QUEUE}/purge'): b'{"resource_types":["messages","subscriptions"]}',
    ('POST', f'{_QUEUE}/redrive'): b'{"limit":1}',
    ('POST', f'{_SUBSCRIPTION}/redeliver'): b'{}',
    ('POST', f'{_QUEUE}/share'): b'{"methods":["GET","POST","DELETE"]}',
    ('POST', _MESSAGES): b'{"messages":[{"body":1}]}',
    ('POST', _CLAIMS): b'{"ttl":60,"grace":60}',
    ('PATCH', _CLAIM): b'{"ttl":60,"grace":60}',
    ('POST', _SUBSCRIPTIONS): b'{"subscriber":"https://example.org/walked"}',
    ('PATCH', _SUBSCRIPTION): b'{"subscriber":"https://example.org/walked","ttl":600,"options":{"walked":1}}',
    ('PUT', f'{_SUBSCRIPTION}/confirm'): b'{"confirmed":false}',
    ('POST', f'{_SUBSCRIPTION}/secret'): b'',
    ('PATCH', '/projects/{project_id}'): b'{"limits":{"messages":1000}}',
    ('POST', ''): b'',
    ('POST', _BUCKET_MESSAGES): b'{"response":{"status":200,"body":"walked"}}',
    ('POST', f'{_BUCKET_MESSAGES}/{{uuid}}/replay'): b'',
    ('POST', '/{bucket_key}/collections'): b'{"name":"walked"}',
    ('PUT', f'{_COLLECTION}/{{uuid}}'): b'{"rank":1}',
    ('POST', '/v1/schedule/'): b'{"minute":"0"}',
    ('PUT', '/v1/schedule/{schedule_id}/'): b'{"minute":"1"}',
    ('PATCH', '/v1/schedule/{schedule_id}/'): b'{"hour":"2"}',
    ('POST', '/v1/schedule/{schedule_id}/send/'): b'',
    ('POST', '/v1/messageset/'): b'{"short_name":"walked","default_schedule":{schedule_id}}',
    ('PUT', '/v1/messageset/{messageset_id}/'): b'{"short_name":"walked","default_schedule":{schedule_id}}',
    ('PATCH', '/v1/messageset/{messageset_id}/'): b'{"next_set":{messageset_id}}',
    ('POST', '/v1/message/'): b'{"messageset":{messageset_id},"sequence_number":9,"lang":"eng","text_content":"x"}',
    ('PUT', '/v1/message/{setmessage_id}/'): (
        b'{"messageset":{messageset_id},"sequence_number":8,"lang":"eng","binary_content":{file_id}}'
    ),
    ('PATCH', '/v1/message/{setmessage_id}/'): b'{"text_content":"y"}',
    ('POST', '/v1/binarycontent/'): _UPLOAD,
    ('PUT', '/v1/binarycontent/{file_id}/'): _UPLOAD,
    ('PATCH', '/v1/binarycontent/{file_id}/'): _UPLOAD,
    ('POST', '/v1/subscriptions/'): _ENROLMENT,
    ('POST', '/v1/subscriptions/request'): b'{"data":' + _ENROLMENT + b'}',
    ('PUT', '/v1/subscriptions/{enrolment_id}/'): _ENROLMENT,
    ('PATCH', '/v1/subscriptions/{enrolment_id}/'): b'{"active":false}',
    ('POST', '/v1/subscriptions/{enrolment_id}/send'): b'null',
    ('POST', '/v1/subscriptions/{enrolment_id}/resend'): b'null',
    ('POST', '/v1/failed-tasks/'): b'null',
    ('POST', '/v1/user/token/'): b'{"email":"bob@example.org"}',
    ('POST', '/metrics/'): b'',
}


class Step(typing.NamedTuple):
    version: str
    method: str
    route: str
    resource: type
    asked: str  # path and query, with fields as `WalkTestCase.fill` gives them
    sent: bytes


def steps():
    """A row (sentence, Step) for every request, as `tables.each` wants them."""
    return [(f'{step.method} v{step.version} {step.asked}', step) for step in _steps()]


def operations():
    """A row (sentence, list of its steps) for every method of every route."""
    grouped = itertools.groupby(_steps(), key=lambda step: (step.version, step.method, step.route))
    return [(f'{method} v{version} {route}', list(listed)) for (version, method, route), listed in grouped]


def places():
    """A row (sentence, list of its steps) for every route, those that delete come last."""
    grouped = itertools.groupby(_steps(), key=lambda step: (step.version, step.route))
    return [
        (f'v{version} {route}', sorted(listed, key=lambda step: step.method == 'DELETE'))
        for (version, route), listed in grouped
    ]


def _steps():
    for version in routes.APIS:
        for route in routes.served(version):
            if not issubclass(route.resource, resources.PublicResource):
                for method in METHODS:
                    if hasattr(route.resource, f'on_{method.lower()}'):
                        yield from _steps_of(version, method, route.path, route.resource)


def _steps_of(version, method, route, resource):
    sent = _SENT[method, route] if method in ('PUT', 'POST', 'PATCH') else b''
    if version == '1' and sent.startswith(b'{"messages"'):
        sent = b'[{"ttl":60,"body":1}]'
    for asked in _ASKED.get((method, route), (route,)):
        if version != '1' or 'pop=' not in asked:
            yield Step(version, method, route, resource, asked, sent)


class WalkTestCase(base.ApiTestCase):
    SECRET = 'nobody else reads this'

    def fill(self, project=base.PROJECT):
        """Make a queue with everything in it: metadata, free and claimed messages, and what the project has beside it;
        the fields of requests for all that."""
        if self.version in routes.FAMILIES:
            self.version = '2'
        self.make_queue(metadata={'secret': self.SECRET, 'a': 1}, project=project)
        self.service.services.user_messages.write(
            project or 'none', 'message', 'timeout', 'SUBSCRIPTION', self.SECRET, None, self.clock(), 'delivery'
        )
        claimed, free, *_ = self.post_messages(*[self.SECRET] * 4, project=project)
        claim, _ = self.claim(limit=1, project=project)
        _, href = self.message_page(params={'limit': 1}, project=project)
        subscription_id = 'f' * 24  # without a project there are none
        if project is not base.ABSENT:
            subscription_id = self.subscribe('https://example.org/hook', {'secret': self.SECRET}, project=project)
            self.fail_delivery(subscription_id, base.id_of(free))
        bucket, exchange, collection = self.fill_bucket(project or 'none', subscription_id)
        return {
            'bucket_key': bucket,
            'uuid': exchange,
            'collection_uuid': collection,
            'queue_name': 'demo',
            'message_id': base.id_of(free),
            'claimed_id': base.id_of(claimed),
            'claim_id': base.id_of(claim),
            'subscription_id': subscription_id,
            'delivery_id': deliveries.delivery_id(subscription_id, base.id_of(free)),
            'project_id': project,
            'user_message_id': user_messages.new_id(project or 'none', 'delivery'),
            'marker': href.rpartition('marker=')[2],
        }

    def fail_delivery(self, subscription_id, message_id):
        """Let the delivery of a message fail."""
        ended = fixtures.end(subscription_id, message_id, deliveries.FAILED, request_id=self.SECRET)
        self.service.services.deliveries.record([ended], self.clock())

    def fill_bucket(self, project, subscription_id):
        """A bucket with a message that is in a collection; what the three are called."""
        services = self.service.services
        bucket = services.captures.create(project, self.SECRET)
        intake = services.captures.open(project, bucket.key)
        body = self.SECRET.encode()
        request = captures.build_request('POST', 'https://a.example/', {}, intake.now, body, intake.rules)
        exchange = captures.Exchange(
            bucket=bucket.key,
            id=captures.new_id(),
            request=request,
            response=None,
            identifier='walked',
            subscription_id=subscription_id,
        )
        services.captures.post(intake, [exchange])
        collection = services.collections.create(project, bucket.key, self.SECRET)
        services.collections.put(project, bucket.key, collection.id, exchange.id)
        return bucket.key, exchange.id, collection.id

    def fill_for(self, step, project=base.PROJECT):
        """Make what the request of `step` is about; its fields."""
        return self.fill_sequences(project) if step.version == 'staged' else self.fill(project)

    def fill_sequences(self, project):
        """Make a course with a file and somebody who takes it, a failure, and what may be deleted beside them."""
        services = self.service.services
        used, free = (services.schedules.create(project, {'minute': '0'}).id for _ in range(2))
        names = {'notes': self.SECRET, 'default_schedule': used}
        used_set, free_set = (
            services.message_sets.create(project, {'short_name': name, **names}).id for name in ('used', 'free')
        )
        file = services.files.create(project, 'a', self.SECRET.encode(), 'http://localhost').id
        message = {'messageset': free_set, 'sequence_number': 1, 'lang': 'eng', 'text_content': self.SECRET}
        message_id = services.set_messages.create(project, message | {'binary_content': file}).id
        enrolment = {'identity': self.SECRET, 'messageset': used_set, 'lang': 'eng', 'schedule': used}
        enrolment_id = services.enrolments.create(project, enrolment).id
        failure_id = 1 if project == base.PROJECT else 2
        failure = sequences.Failure(failure_id, project, enrolment_id, enrolment_id, 0.0, self.SECRET, 'status', False)
        self.service.driver.records.insert(tables.FAILURES, [msgspec.structs.asdict(failure)])
        return {
            'schedule_id': free,
            'messageset_id': free_set,
            'setmessage_id': message_id,
            'file_id': file,
            'enrolment_id': enrolment_id,
            'failure_id': failure_id,
        }

    def take(self, step, fields, project=base.PROJECT, prefix=''):
        """Send the request of `step`; the answer, whatever it is."""
        self.version = step.version
        return self.request(
            step.method,
            prefix + step.asked.format(**fields),
            self.spell(step.sent, fields),
            headers={'Content-Type': _type_of(step.sent)},
            project=project,
            status=base.ANY,
        )

    def spell(self, sent, fields):
        for name, value in fields.items():
            sent = sent.replace(b'{%b}' % name.encode(), str(value).encode())
        return sent


def _type_of(sent):
    if sent.startswith(b'[{"op"'):
        return base.PATCH
    return 'multipart/form-data; boundary="a boundary"' if sent == _UPLOAD else 'application/json'
