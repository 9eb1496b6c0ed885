"""Every table of the record port: the control-plane schema on one page."""

from queueservice.storage import records

#: One record a queue. Its row is also the head of the queue's messages: inserting it begins a life of
#: the queue, deleting it ends that life (the messages go at once), and its revision is the one that
#: `MessageStore.append` and `claim` compare.
QUEUES = records.Table(
    name='queues',
    fields={
        'id': str,  # model.queues.Queue.id
        'namespace': str,
        'project': str,
        'name': str,
        'metadata': bytes,  # JSON object
        'facets': list,  # '["key",value]' for each top-level str and int of the metadata, for filters
        'created_at': float,  # s, UTC
        'subscribers': list,  # ids of the confirmed subscriptions
    },
    key=('id',),
    unique=(('namespace', 'project', 'name'),),
)

#: One record a project that ever had a queue.
PROJECTS = records.Table(
    name='projects',
    fields={'namespace': str, 'project': str, 'created_at': float},
    key=('namespace', 'project'),
)

#: One record a token of the service's own. The token itself is not stored.
TOKENS = records.Table(
    name='tokens',
    fields={
        'id': str,  # model.tokens.Token.id
        'digest': str,  # SHA-256 of the token, hex
        'project': str,
        'name': str,
        'roles': list,
        'created_at': float,  # s, UTC
        'expires_at': float,  # s, UTC; None: never
    },
    key=('id',),
    unique=(('digest',),),
    indexes=(('created_at',), ('project', 'created_at')),
    expires='expires_at',
)

#: One record a project whose limits an administrator has set.
LIMITS = records.Table(
    name='limits',
    fields={
        'namespace': str,
        'project': str,
        'limits': bytes,  # JSON object: fields of model.quotas.Quotas that are not as for all
    },
    key=('namespace', 'project'),
)

#: One record a project with a rate that sent requests lately: model.rates.Bucket. Without one, its bucket is full.
RATES = records.Table(
    name='rates',
    fields={'namespace': str, 'project': str, 'tokens': float, 'filled_at': float, 'expires_at': float},
    key=('namespace', 'project'),
    expires='expires_at',
)

#: What the service made at random for itself, and all its processes have to agree on.
SECRETS = records.Table(
    name='secrets',
    fields={'name': str, 'value': bytes, 'created_at': float},
    key=('name',),
)

ALL = (QUEUES, PROJECTS, TOKENS, LIMITS, RATES, SECRETS)
