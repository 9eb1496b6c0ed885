"""The requests that are measured, and what the service answers to them."""

import json

from benchmarks import wsgi
from queueservice import bootstrap
from queueservice.api import app

PATH = '/v2/queues/benchmark'
BODY = {'event': 'BackupStarted', 'backup_id': 'c378813c-3f0b-11e2-ad92-7823d2b0f3ce', 'pad': 'x' * 110}
CLAIM = b'{"ttl": 300, "grace": 60}'

#: Where the floor application listens, by operation.
ROUTES = {
    'ping': '/v2/ping',
    'post-1': '/v2/queues/{queue_name}/messages',
    'get-1': '/v2/queues/{queue_name}/messages/{message_id}',
    'delete-1': '/v2/queues/{queue_name}/messages/{message_id}',
    'post-10': '/v2/queues/{queue_name}/messages',
    'list-10': '/v2/queues/{queue_name}/messages',
    'claim-10': '/v2/queues/{queue_name}/claims',
}


def post(count: int) -> wsgi.Request:
    document = {'messages': [{'ttl': 3600, 'body': BODY} for _ in range(count)]}
    return wsgi.Request('POST', f'{PATH}/messages', json.dumps(document).encode())


def build(driver) -> tuple[object, dict[str, wsgi.Request], dict[str, tuple[str, str, bytes]]]:
    """A service on `driver`, a request for each operation, and (method, status, body) of its answer.

    The request of delete-1 works once.
    """
    service = app.build_app(bootstrap.build_services(driver))
    requests = {
        'ping': wsgi.Request('GET', '/v2/ping'),
        'post-1': post(1),
        'post-10': post(10),
        'list-10': wsgi.Request('GET', f'{PATH}/messages?limit=10&echo=true'),
    }
    answers = {name: (request.method, *request.send(service)) for name, request in requests.items()}
    (href,) = json.loads(answers['post-1'][2])['resources']
    other = json.loads(answers['post-10'][2])['resources'][0]
    later = {
        'get-1': wsgi.Request('GET', href),
        'delete-1': wsgi.Request('DELETE', other),
        'claim-10': wsgi.Request('POST', f'{PATH}/claims?limit=10', CLAIM),
    }
    answers |= {name: (request.method, *request.send(service)) for name, request in later.items()}
    return service, requests | later, answers
