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

#: One record a subscription. Ending one sets `expires_at` to 0 and `address` to None: from then on nobody sees it,
#: and whatever belongs to it is cleared away before the record itself.
SUBSCRIPTIONS = records.Table(
    name='subscriptions',
    fields={
        'id': str,  # model.subscriptions.new_id(): ascending in order of creation
        'namespace': str,
        'project': str,
        'queue': str,
        'queue_id': str,
        'subscriber': str,
        'address': str,  # the subscriber, normalised: only one subscription of a queue has it; None: it has ended
        'options': bytes,  # JSON object
        'ttl': int,  # s
        'created_at': float,  # s, UTC
        'renewed_at': float,
        'expires_at': float,
        'confirmed': bool,
        'nonce': str,
        'secret': bytes,
        'old_secret': bytes,
        'old_secret_until': float,
    },
    key=('id',),
    unique=(('queue_id', 'address'),),
    indexes=(('queue_id', 'id'), ('expires_at',)),
)

#: One record a subscription: when its internal queue wants to be looked at, and how its subscriber does.
LANES = records.Table(
    name='lanes',
    fields={
        'id': str,  # of the subscription
        'project': str,
        'site': str,  # what is loaded by attempts: a host
        'due_at': float,  # s, UTC; leased, or to wait, until then. None: parked, nothing is to be delivered
        'leased_by': str,  # the turn that has it until due_at; None: nobody's
        'rests_until': float,  # s, UTC; nothing is sent before, whatever comes
        'failures': int,  # in a row
        'opened_at': float,  # s, UTC; since when the breaker is open; None: it is closed
        'last_at': float,  # s, UTC; of the last attempt
        'last_status': int,
        'last_error': str,  # of model.deliveries.ERRORS; None: the last attempt succeeded
    },
    key=('id',),
    indexes=(('due_at',),),
)

#: One record a delivery that has ended: model.deliveries.Delivery. Failed ones stay until they are sent again or
#: dropped, with what was posted; the others go by `expires_at`.
DELIVERIES = records.Table(
    name='deliveries',
    fields={
        'id': str,  # model.deliveries.delivery_id(), which is how the deliveries of a message are found, too
        'subscription_id': str,
        'message_id': str,
        'kind': str,
        'outcome': str,  # OPEN while it is sent again; then `ended_at` is None
        'request_id': str,
        'attempts': int,
        'first_at': float,  # s, UTC
        'last_at': float,
        'status': int,
        'error': str,
        'ended_at': float,
        'expires_at': float,  # s, UTC; None: never
        'message': bytes,  # what was posted, by model.deliveries.pack_message(); None: not kept
    },
    key=('id',),
    indexes=(('subscription_id', 'ended_at'), ('subscription_id', 'outcome', 'ended_at')),
    expires='expires_at',
)

#: One record an address that was lately asked to confirm something: it is not asked again before `expires_at`.
CONFIRMATIONS = records.Table(
    name='confirmations',
    fields={'target': str, 'expires_at': float},  # SHA-256 of the address, hex; s, UTC
    key=('target',),
    expires='expires_at',
)

#: One record a user message: model.user_messages.UserMessage. One that was deleted is of no project, and stays for its
#: id.
USER_MESSAGES = records.Table(
    name='user_messages',
    fields={
        'id': str,
        'project': str,  # None: deleted
        'event_id': str,
        'message_level': str,
        'resource_type': str,
        'resource_uuid': str,
        'request_id': str,
        'created_at': float,  # s, UTC
        'expires_at': float,  # s, UTC
    },
    key=('id',),
    indexes=(
        ('project', 'created_at', 'id'),
        ('project', 'id'),
        ('project', 'resource_uuid', 'created_at', 'id'),
        ('project', 'request_id', 'created_at', 'id'),
        ('project', 'event_id', 'created_at', 'id'),
    ),
    expires='expires_at',
)

#: One record a bucket: model.captures.Bucket.
BUCKETS = records.Table(
    name='buckets',
    fields={
        'id': str,  # its key
        'project': str,
        'name': str,
        'queue': str,  # whose deliveries are captured in it; None: a client made it
        'created_at': float,  # s, UTC
    },
    key=('id',),
    indexes=(('project', 'created_at'), ('project', 'queue')),
)

#: One record an exchange: model.captures.Exchange without bodies. It is stored after its bodies, and goes before them.
EXCHANGES = records.Table(
    name='exchanges',
    fields={
        'bucket': str,
        'id': str,
        'at': float,  # s, UTC; when it happened
        'stored_at': float,  # s, UTC; the oldest ones make room
        'failed': bool,  # model.captures.is_error()
        'held': bool,  # by a collection, so that it stays: set before, and cleared after, there is an item
        'identifier': str,
        'subscription_id': str,
        'attempt': int,
        'error': str,
        'request': bytes,  # JSON: model.captures.Request
        'response': bytes,  # JSON: model.captures.Response
    },
    key=('bucket', 'id'),
    indexes=(
        ('bucket', 'at'),
        ('bucket', 'failed', 'at'),
        ('bucket', 'identifier', 'at'),
        ('bucket', 'held', 'stored_at', 'at'),
    ),
)

#: The bodies of those exchanges that have any: lists do not read them.
EXCHANGE_BODIES = records.Table(
    name='exchange_bodies',
    fields={
        'bucket': str,
        'id': str,
        'stored_at': float,  # s, UTC
        'request': bytes,
        'response': bytes,
        'form': bytes,  # JSON object: name -> list of values
    },
    key=('bucket', 'id'),
)

#: One record a collection of exchanges of a bucket: model.captures.Collection.
COLLECTIONS = records.Table(
    name='collections',
    fields={'bucket': str, 'id': str, 'name': str, 'description': str, 'created_at': float},
    key=('bucket', 'id'),
    indexes=(('bucket', 'created_at'),),
)

#: One record an exchange in a collection.
COLLECTION_ITEMS = records.Table(
    name='collection_items',
    fields={
        'bucket': str,
        'collection': str,
        'exchange': str,
        'rank': float,
        'shown': str,  # the rank as JSON, as the client wrote it: 1 is not 1.0
        'added_at': float,  # s, UTC
    },
    key=('bucket', 'collection', 'exchange'),
    indexes=(('bucket', 'collection', 'rank', 'added_at'), ('bucket', 'exchange')),
)

ALL = (
    QUEUES,
    PROJECTS,
    TOKENS,
    LIMITS,
    RATES,
    SECRETS,
    SUBSCRIPTIONS,
    LANES,
    DELIVERIES,
    CONFIRMATIONS,
    USER_MESSAGES,
    BUCKETS,
    EXCHANGES,
    EXCHANGE_BODIES,
    COLLECTIONS,
    COLLECTION_ITEMS,
)
