from queueservice.api.policies.base import MEMBER, READER, rule

_ALL = '/v2/queues/{queue_name}/subscriptions'
_ONE = '/v2/queues/{queue_name}/subscriptions/{subscription_id}'
_BY_ID = '/v2/subscriptions/{subscription_id}'

RULES = [
    rule('subscriptions:get_all', READER, 'List the subscriptions to a queue.', ('GET', _ALL)),
    rule('subscriptions:create', MEMBER, 'Subscribe to a queue.', ('POST', _ALL)),
    rule('subscriptions:get', READER, 'Read a subscription.', ('GET', _ONE)),
    rule('subscriptions:find', READER, 'Read a subscription to any queue of the project, by its id.', ('GET', _BY_ID)),
    rule('subscriptions:update', MEMBER, 'Change a subscription.', ('PATCH', _ONE)),
    rule('subscriptions:delete', MEMBER, 'Delete a subscription.', ('DELETE', _ONE)),
    rule(
        'subscriptions:confirm',
        MEMBER,
        'Say whether messages are wanted. Where confirmation is required, only the link that the subscriber was sent '
        'can say that they are; whoever has it is a member for this route.',
        ('PUT', f'{_ONE}/confirm'),
    ),
    rule(
        'subscriptions:secret', MEMBER, 'Give a subscription another secret, and read it.', ('POST', f'{_ONE}/secret')
    ),
]
