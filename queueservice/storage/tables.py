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
        'declined': bool,  # the subscriber has said that he wants no messages, and not that he does since
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
        'nonce': str,  # of the subscription, while its subscriber is the one whom the rest is about
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

#: The last integer of each kind that was given out as an id.
COUNTERS = records.Table(
    name='counters',
    fields={'name': str, 'value': int},
    key=('name',),
)

#: model.schedules.Schedule.
SCHEDULES = records.Table(
    name='schedules',
    fields={
        'id': int,
        'project': str,
        'minute': str,
        'hour': str,
        'day_of_month': str,
        'month_of_year': str,
        'day_of_week': str,
        'due_at': float,  # s, UTC; None: never
        'created_at': float,
        'deleting_until': float,
    },
    key=('id',),
    indexes=(('project',), ('due_at',)),
)

#: model.sequences.MessageSet.
MESSAGE_SETS = records.Table(
    name='message_sets',
    fields={
        'id': int,
        'project': str,
        'short_name': str,
        'label': str,
        'content_type': str,
        'notes': str,
        'next_set': int,
        'default_schedule': int,
        'channel': str,
        'created_at': float,  # s, UTC
        'updated_at': float,
        'deleting_until': float,
    },
    key=('id',),
    unique=(('project', 'short_name'),),
    indexes=(('project',), ('default_schedule',), ('next_set',)),
)

#: model.sequences.SetMessage.
SET_MESSAGES = records.Table(
    name='set_messages',
    fields={
        'id': int,
        'project': str,
        'messageset': int,
        'sequence_number': int,
        'lang': str,
        'metadata': bytes,  # JSON object
        'text_content': str,
        'binary_content': int,
        'created_at': float,  # s, UTC
        'updated_at': float,
    },
    key=('id',),
    unique=(('messageset', 'lang', 'sequence_number'),),
    indexes=(('project',), ('messageset', 'sequence_number'), ('binary_content',)),
)

#: model.sequences.File, and what is in it.
FILES = records.Table(
    name='files',
    fields={
        'id': int,
        'project': str,
        'token': str,
        'name': str,
        'base': str,
        'size': int,  # bytes
        'created_at': float,  # s, UTC
        'deleting_until': float,
        'content': bytes,
    },
    key=('id',),
    unique=(('token',),),
    indexes=(('project',),),
)

#: How staged messaging goes on in a project, where the operator's rules do not hold.
PROJECT_RULES = records.Table(
    name='project_rules',
    fields={
        'namespace': str,
        'project': str,
        'rules': bytes,  # JSON object: some of services.project_rules.NAMES
    },
    key=('namespace', 'project'),
)

#: model.sequences.Enrolment.
ENROLMENTS = records.Table(
    name='enrolments',
    fields={
        'id': str,
        'project': str,
        'version': int,
        'identity': str,
        'messageset': int,
        'lang': str,
        'schedule': int,
        'next_sequence_number': int,
        'initial_sequence_number': int,
        'active': bool,
        'completed': bool,
        'process_status': int,
        'metadata': bytes,  # JSON object
        'metadata_keys': list,
        'created_at': float,  # s, UTC
        'updated_at': float,
        'ticked_at': float,
        'round': int,
        'handled': list,
    },
    key=('id',),
    indexes=(
        ('project', 'created_at'),
        ('project', 'identity', 'created_at'),
        ('project', 'messageset', 'created_at'),
        ('schedule', 'active', 'completed', 'process_status'),
    ),
)

#: model.sequences.Failure.
FAILURES = records.Table(
    name='failures',
    fields={
        'id': int,
        'project': str,
        'enrolment': str,
        'task_id': str,
        'initiated_at': float,  # s, UTC
        'reason': str,
        'detail': str,
        'resend': bool,
    },
    key=('id',),
    unique=(('task_id',),),
    indexes=(('project',), ('enrolment',)),
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
    COUNTERS,
    SCHEDULES,
    MESSAGE_SETS,
    SET_MESSAGES,
    FILES,
    ENROLMENTS,
    FAILURES,
    PROJECT_RULES,
)
