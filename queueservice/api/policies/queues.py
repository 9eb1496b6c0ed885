from queueservice.api.policies.base import MEMBER, READER, rule

RULES = [
    rule('queues:get_all', READER, 'List queues.', ('GET', '/v2/queues')),
    rule('queues:create', MEMBER, 'Create a queue.', ('PUT', '/v2/queues/{queue_name}')),
    rule('queues:get', READER, 'Read the metadata of a queue.', ('GET', '/v2/queues/{queue_name}')),
    rule('queues:update', MEMBER, 'Change the metadata of a queue.', ('PATCH', '/v2/queues/{queue_name}')),
    rule('queues:delete', MEMBER, 'Delete a queue.', ('DELETE', '/v2/queues/{queue_name}')),
    rule('queues:stats', READER, 'Read the statistics of a queue.', ('GET', '/v2/queues/{queue_name}/stats')),
    rule(
        'queues:share',
        MEMBER,
        'Make a pre-signed URL of a queue. Whoever has the URL is a member for the routes and methods that it names.',
        ('POST', '/v2/queues/{queue_name}/share'),
    ),
    rule('queues:purge', MEMBER, 'Empty a queue.', ('POST', '/v2/queues/{queue_name}/purge')),
    rule(
        'queues:redrive',
        MEMBER,
        'Move dead letters back to the queues that they came from.',
        ('POST', '/v2/queues/{queue_name}/redrive'),
    ),
]
