from queueservice.api.policies.base import MEMBER, READER, rule

_ALL = '/buckets'
_ONE = '/buckets/{bucket_key}'
_MESSAGES = '/buckets/{bucket_key}/messages'
_MESSAGE = '/buckets/{bucket_key}/messages/{uuid}'

RULES = [
    rule('buckets:get_all', READER, 'List buckets.', ('GET', _ALL)),
    rule('buckets:create', MEMBER, 'Make a bucket.', ('POST', _ALL)),
    rule('buckets:get', READER, 'Read what a bucket is.', ('GET', _ONE)),
    rule('buckets:delete', MEMBER, 'Delete a bucket with all that is in it.', ('DELETE', _ONE)),
    rule('bucket_messages:get_all', READER, 'List the messages of a bucket.', ('GET', _MESSAGES)),
    rule('bucket_messages:create', MEMBER, 'Post messages to a bucket.', ('POST', _MESSAGES)),
    rule('bucket_messages:delete_all', MEMBER, 'Remove all messages of a bucket.', ('DELETE', _MESSAGES)),
    rule('bucket_messages:get', READER, 'Read one message of a bucket.', ('GET', _MESSAGE)),
    rule(
        'bucket_messages:replay',
        MEMBER,
        'Send a captured request to its subscriber again.',
        ('POST', f'{_MESSAGE}/replay'),
    ),
    rule(
        'bucket_messages:errors',
        READER,
        'List those messages of a bucket that failed.',
        ('GET', '/buckets/{bucket_key}/errors'),
    ),
]
