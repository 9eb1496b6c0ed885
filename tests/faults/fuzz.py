"""Send the service what its OpenAPI document allows, and what it does not, and judge each answer by the document.

By hand, for figures: ``python -m tests.faults.fuzz --seconds 600`` starts a server of its own;
``--url http://127.0.0.1:8888 --token ...`` asks one that runs.
"""

import argparse
import collections
import contextlib
import dataclasses
import itertools
import re
import sys
import time
from urllib import parse

import schemathesis
from schemathesis import config, engine, hooks
from schemathesis.core import failures
from schemathesis.engine import events
from schemathesis.openapi import checks

from tests.fixtures import server

#: Seconds in which every answer must be there.
_SLOWEST = 5

#: Words of a 400 to what the document allows, because OpenAPI has no words for the rule.
_UNSAYABLE = (
    'int, not float',  # to JSON Schema 60.0 is an integer
    'TTL must be an integer',
    'attribute must be a int.',
    'must be a whole number',
    'The value must be an integer.',  # in a query, too
    '"Client-ID" header is required',  # to list messages in v1, but not to read them by their ids
    '"ids"',  # either this parameter or "pop"
    'is out of range for a double',
    'levels are allowed',
    'may not be "." or ".."',
    'are not "." or ".."',
    '_dead_letter_queue',
    '"_retry_policy"',
    'no encryption key is configured',
    '"subscriber"',  # a URI of which much is asked
    'options.',  # of subscriptions: names that are not in the document
    'must be a time in UTC',  # a day that there is
    '"expires" field',  # a day that there is, and in the future
    '(_max_messages_post_size)',  # a queue has a bound of its own
    'A list of queues takes at most',
    'Send either "sort"',
    'Missing "name" field',  # of a bucket: in the document, or in the query
    'must be a number of seconds since 1970',  # without an exponent
    'object does not exist',  # what staged messaging refers to has to be there
    'There is no subscription',
    'already exists',
    'must make a unique set',
    'cannot stand here in a cron line',
    'Messages must have text',
    'There is no time zone',
    'cannot be sent',  # curly quotes
    'Null characters',
    'A valid integer is required.',
    'Enter a valid value.',  # a time, as a filter
    'Enter a valid email address.',
    'The form cannot be read',
    'not a file',
    'No file was submitted',
    'file is empty',
)

#: Values that meet again and again, so that requests find what others made.
_POOLS = {
    'queues': ['one', 'two', 'three'],
    'projects': ['fuzz'],
    'microversions': ['volume 3.71'],
    'subscribers': ['https://example.org/one', 'http://example.org:8080/two', 'queue:four', 'mailto:a@example.org'],
    'clients': ['3381af92-2b9e-11e3-b191-71861300734c', '5ffd2c5c-2b9e-11e3-b191-71861300734d'],
}
_POOLED = {
    'path.queue_name': {'dictionary': 'queues', 'probability': 0.8},
    'body.subscriber': {'dictionary': 'subscribers', 'probability': 0.8},
    'header.X-Project-Id': {'dictionary': 'projects', 'probability': 0.9},
    'header.OpenStack-API-Version': {'dictionary': 'microversions', 'probability': 0.9},
    'header.Client-ID': {'dictionary': 'clients', 'probability': 0.8},
}

#: What takes a list of which anything may be wrong.
_BUCKET = re.compile('/buckets/[^/]+/messages')

schemathesis.serializer.alias('application/openstack-messaging-v2.0-json-patch', 'application/json')


@dataclasses.dataclass
class Findings:
    """What came of all requests: how many there were of each status, and what is wrong, as texts."""

    statuses: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    answered: collections.Counter = dataclasses.field(default_factory=collections.Counter)  # successes by operation
    wrong: dict[str, str] = dataclasses.field(default_factory=dict)  # by what and where: the first case

    @property
    def requests(self) -> int:
        return self.statuses.total()

    def note(self, event) -> None:
        if isinstance(event, events.NonFatalError | events.FatalError):
            self.wrong.setdefault(f'the fuzzer itself, at {event.label}', repr(event.value))
        if not isinstance(event, events.ScenarioFinished):
            return
        for case, asked in event.recorder.interactions.items():
            status = asked.response.status_code if asked.response else 'no answer'
            self.statuses[status] += 1
            operation = event.recorder.cases[case].value.operation.label
            if status == 'no answer':
                self.wrong.setdefault(f'no answer: {operation}', asked.request.uri)
            elif status < 400:
                self.answered[operation] += 1
        for case, judged in event.recorder.checks.items():
            operation = event.recorder.cases[case].value.operation.label
            for check in judged:
                if check.failure_info is not None:
                    failure = check.failure_info
                    said = event.recorder.interactions[case].response
                    self.wrong.setdefault(
                        f'{check.name}: {operation}',
                        f'{failure.failure.title}. {failure.failure.message}\n{failure.code_sample}\n'
                        f'{said.text[:500] if said else ""}',
                    )


def settings(
    seed: int, seconds: float | None, examples: int, token: str | None = None, phases=None
) -> config.SchemathesisConfig:
    """How the fuzzer is to go about it.

    :param seconds: the fuzzer goes on until then; None: one round, which is the same each time.
    :param examples: how many requests of each sort it makes of an operation in one phase.
    :param phases: names of those that are wanted; None: all.
    """
    wanted = {'examples': False, 'coverage': True, 'fuzzing': True, 'stateful': True}
    if phases is not None:
        wanted = {name: name in phases for name in wanted}
    return config.SchemathesisConfig.from_dict(
        {
            'seed': seed,
            **({} if seconds is None else {'max-time': max(1, int(seconds))}),
            'continue-on-failure': True,
            'request-timeout': _SLOWEST * 2,
            'headers': {'X-Auth-Token': token} if token else {},
            'generation': {'max-examples': examples, 'database': 'none', 'no-shrink': True},
            'phases': {name: {'enabled': enabled} for name, enabled in wanted.items()},
            'checks': {'max_response_time': _SLOWEST},
            'output': {'sanitization': {'enabled': False}},
            'dictionaries': {name: {'values': values} for name, values in _POOLS.items()},
            'parameters': _POOLED,
        }
    )


class _Places:
    """Claims, messages and subscriptions that were made, so that later requests find some that exist."""

    _PLACE = re.compile(
        r'/queues/(?P<queue_name>[^/]+)/'
        r'(?:claims/(?P<claim_id>\w+)|messages\?ids=(?P<message_id>\w+)|subscriptions/(?P<subscription_id>\w+))'
        r'|/buckets/(?P<bucket_key>[0-9a-z]{12})(?:/collections/(?P<collection_uuid>[0-9a-f-]{36}))?$'
    )
    #: The Location of a new subscription is that of all of them.
    _MADE = re.compile(r'"subscription_id":"(\w+)"')

    def __init__(self):
        names = ('claim_id', 'message_id', 'subscription_id', 'bucket_key', 'collection_uuid')
        self._found = {name: collections.deque(maxlen=3) for name in names}
        self._turn = itertools.count()

    def note(self, response):
        place = ''.join(response.headers.get('location', ()))
        made = self._MADE.search(response.text) if response.status_code == 201 else None
        match = self._PLACE.search(f'{place}/{made[1]}' if made else place)
        if match:
            self._found[match.lastgroup].append({name: value for name, value in match.groupdict().items() if value})

    def lead_to(self, case):
        """Let every other request that names one of them name one of those."""
        for name, found in self._found.items():
            if found and name in (case.path_parameters or {}) and case.meta and case.meta.generation.mode.is_positive:
                turn = next(self._turn)
                if turn % 2:
                    place = found[turn % len(found)]
                    case.path_parameters = {one: place.get(one, value) for one, value in case.path_parameters.items()}


def judge(schema, findings: Findings) -> None:
    """Send requests to the service that `schema` describes, and note what comes of them."""

    places = _Places()

    @schema.hook
    def filter_failure(context, failure, case, response):
        return not _is_meant(failure, case, response)

    def before_call(context, case, kwargs):
        places.lead_to(case)

    def after_call(context, case, response):
        places.note(response)

    # There is no other scope for these two.
    schemathesis.hook(before_call)
    schemathesis.hook(after_call)
    try:
        for event in engine.from_schema(schema).execute():
            findings.note(event)
    finally:
        hooks.unregister(before_call)
        hooks.unregister(after_call)


def _is_meant(failure, case, response):
    """Whether the service is right, and OpenAPI has no way to say so."""
    if isinstance(failure, checks.RejectedPositiveData):
        return any(words in response.text.replace('\\"', '"') for words in _UNSAYABLE)
    # Whoever tries a signature does not learn what is wrong with it.
    if isinstance(failure, checks.IgnoredAuth) and '404 Not Found' in failure.message:
        return True
    asked = parse.urlsplit(response.request.url)
    # Each message is judged for itself, in the answer.
    if isinstance(failure, failures.AcceptedNegativeData) and _BUCKET.fullmatch(asked.path):
        return True
    # Whatever stands in a form is text: there is no other kind of value.
    if isinstance(failure, failures.AcceptedNegativeData) and 'form' in (case.media_type or ''):
        return True
    # Whatever stands in a query is text, and text is what filters are.
    if isinstance(failure, failures.AcceptedNegativeData) and 'parameter `filters` in query' in failure.message:
        return True
    # Any parameter may be empty, and then is as good as none. Beside "ids" the others are not looked at.
    query = parse.parse_qsl(asked.query, keep_blank_values=True)
    return isinstance(failure, failures.AcceptedNegativeData) and any(
        name == 'ids' or not value.strip(',') for name, value in query
    )


def fuzz(url: str, seconds: float, seed: int, examples: int = 50, token: str | None = None) -> Findings:
    """Round after round, each with another seed, until `seconds` are over."""
    findings = Findings()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1:
        schema = schemathesis.openapi.from_url(
            f'{url}/openapi.json', config=settings(seed, left, examples, token), timeout=_SLOWEST
        )
        judge(schema, findings)
        seed += 1
    return findings


def main() -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.faults.fuzz', description=__doc__)
    parser.add_argument('--url', help='of a running service; without it one is started')
    parser.add_argument('--driver', default='sqlite', help='of the server that is started')
    parser.add_argument('--token', help='what to send as X-Auth-Token')
    parser.add_argument('--seconds', type=float, default=60)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--examples', type=int, default=50, help='requests of each sort to an operation in one phase')
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = (
            options.url
            or stack.enter_context(server.Server(OS_STORAGE__DRIVER=options.driver, OS_DEFAULT__ADMIN_MODE='true')).url
        )
        findings = fuzz(url, options.seconds, options.seed, options.examples, options.token)
    print(f'{findings.requests} requests', dict(sorted(findings.statuses.items(), key=str)))
    for operation, count in sorted(findings.answered.items()):
        print(f'{count:7} succeeded: {operation}')
    for what, case in sorted(findings.wrong.items()):
        print(f'WRONG {what}\n{case}\n')
    print(f'{len(findings.wrong)} wrong')
    return 1 if findings.wrong else 0


if __name__ == '__main__':
    sys.exit(main())
