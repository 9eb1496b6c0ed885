from queueservice.api.policies.base import MEMBER, READER, rule

_ALL = '/buckets/{bucket_key}/collections'
_ONE = '/buckets/{bucket_key}/collections/{collection_uuid}'
_ITEM = '/buckets/{bucket_key}/collections/{collection_uuid}/{uuid}'
#: Clients delete by these paths, too.
_ONE_TOO = '/buckets/{bucket_key}/collection/{collection_uuid}'
_ITEM_TOO = '/buckets/{bucket_key}/collection/{collection_uuid}/{uuid}'

RULES = [
    rule('collections:get_all', READER, 'List the collections of a bucket.', ('GET', _ALL)),
    rule('collections:create', MEMBER, 'Make a collection.', ('POST', _ALL)),
    rule('collections:get', READER, 'Read the messages of a collection.', ('GET', _ONE)),
    rule(
        'collections:delete',
        MEMBER,
        'Delete a collection. Its messages stay in the bucket.',
        ('DELETE', _ONE),
        ('DELETE', _ONE_TOO),
    ),
    rule('collections:put_message', MEMBER, 'Add a message to a collection, or change its rank.', ('PUT', _ITEM)),
    rule(
        'collections:remove_message',
        MEMBER,
        'Take a message out of a collection.',
        ('DELETE', _ITEM),
        ('DELETE', _ITEM_TOO),
    ),
]
