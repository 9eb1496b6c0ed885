"""The relations that the home documents name, by version."""

_QUEUE = {'queue_name': 'param/queue_name'}
_MESSAGE = {**_QUEUE, 'message_id': 'param/message_id'}
_CLAIM = {**_QUEUE, 'claim_id': 'param/claim_id'}
_SUBSCRIPTION = {**_QUEUE, 'subscription_id': 'param/subscription_id'}
_JSON = {'application/json': {}}
_LIST = {'marker': 'param/marker', 'limit': 'param/limit'}


def _entry(template, variables, methods, **hints):
    hints = {'allow': methods, 'formats': _JSON, **hints}
    if not variables:
        return {'href': template, 'hints': hints}
    return {'href-template': template, 'href-vars': variables, 'hints': hints}


def _posting(template, variables):
    return _entry(template, variables, ['POST'], **{'accept-post': ['application/json']})


_PAGE = {**_LIST, 'echo': 'param/echo', 'include_claimed': 'param/include_claimed'}

V1 = {
    'queues': _entry('/queues{?marker,limit,detailed}', {**_LIST, 'detailed': 'param/detailed'}, ['GET']),
    'queue': _entry('/queues/{queue_name}', _QUEUE, ['GET', 'HEAD', 'PUT', 'DELETE']),
    'queue-metadata': _entry('/queues/{queue_name}/metadata', _QUEUE, ['GET', 'PUT']),
    'queue-stats': _entry('/queues/{queue_name}/stats', _QUEUE, ['GET']),
    'messages': _entry(
        '/queues/{queue_name}/messages{?marker,limit,echo,include_claimed}', {**_QUEUE, **_PAGE}, ['GET']
    ),
    'post-messages': _posting('/queues/{queue_name}/messages', _QUEUE),
    'claim': _posting('/queues/{queue_name}/claims{?limit}', {**_QUEUE, 'limit': 'param/limit'}),
}

V1_1 = {
    'queues': V1['queues'],
    'queue': _entry('/queues/{queue_name}', _QUEUE, ['GET', 'PUT', 'DELETE']),
    'queue_stats': V1['queue-stats'],
    'messages': V1['messages'],
    'post_messages': V1['post-messages'],
    'messages_delete': _entry(
        '/queues/{queue_name}/messages{?ids,pop}', {**_QUEUE, 'ids': 'param/ids', 'pop': 'param/pop'}, ['DELETE']
    ),
    'message_delete': _entry(
        '/queues/{queue_name}/messages/{message_id}{?claim_id}',
        {**_MESSAGE, 'claim_id': 'param/claim_id'},
        ['DELETE'],
    ),
    'claim': _entry('/queues/{queue_name}/claims/{claim_id}', _CLAIM, ['GET']),
    'post_claim': V1['claim'],
    'patch_claim': _entry('/queues/{queue_name}/claims/{claim_id}', _CLAIM, ['PATCH']),
    'delete_claim': _entry('/queues/{queue_name}/claims/{claim_id}', _CLAIM, ['DELETE']),
    'ping': _entry('/ping', {}, ['GET', 'HEAD']),
}

V2 = {
    **V1_1,
    'queues': _entry(
        '/queues{?marker,limit,detailed,name,with_count}',
        {**_LIST, 'detailed': 'param/detailed', 'name': 'param/name', 'with_count': 'param/with_count'},
        ['GET'],
    ),
    'queue': _entry('/queues/{queue_name}', _QUEUE, ['GET', 'PUT', 'PATCH', 'DELETE']),
    'queue_purge': _posting('/queues/{queue_name}/purge', _QUEUE),
    'queue_share': _posting('/queues/{queue_name}/share', _QUEUE),
    'messages': _entry(
        '/queues/{queue_name}/messages{?marker,limit,echo,include_claimed,include_delayed}',
        {**_QUEUE, **_PAGE, 'include_delayed': 'param/include_delayed'},
        ['GET'],
    ),
    'messages_delete': _entry(
        '/queues/{queue_name}/messages{?ids,claim_ids,pop}',
        {**_QUEUE, 'ids': 'param/ids', 'claim_ids': 'param/claim_ids', 'pop': 'param/pop'},
        ['DELETE'],
    ),
    'subscriptions': _entry('/queues/{queue_name}/subscriptions{?marker,limit}', {**_QUEUE, **_LIST}, ['GET']),
    'post_subscription': _posting('/queues/{queue_name}/subscriptions', _QUEUE),
    'subscription': _entry(
        '/queues/{queue_name}/subscriptions/{subscription_id}', _SUBSCRIPTION, ['GET', 'PATCH', 'DELETE']
    ),
    'subscription_confirm': _entry(
        '/queues/{queue_name}/subscriptions/{subscription_id}/confirm', _SUBSCRIPTION, ['PUT']
    ),
    'message_get': _entry('/queues/{queue_name}/messages/{message_id}', _MESSAGE, ['GET']),
    'project': _entry('/projects/{project_id}', {'project_id': 'param/project_id'}, ['GET']),
}

ADMIN = {
    'health': _entry('/health', {}, ['GET']),
}

DOCUMENTS = {'1': V1, '1.1': V1_1, '2': V2}
