from queueservice.api.policies.base import MEMBER, READER, rule

_SUBSCRIPTION = '/v2/queues/{queue_name}/subscriptions/{subscription_id}'
_ALL = f'{_SUBSCRIPTION}/deliveries'
_ONE = f'{_ALL}/{{delivery_id}}'

RULES = [
    rule('deliveries:get_all', READER, 'List what was delivered to a subscriber, and what was not.', ('GET', _ALL)),
    rule('deliveries:get', READER, 'Read what became of one delivery.', ('GET', _ONE)),
    rule('deliveries:delete', MEMBER, 'Forget a delivery that has ended.', ('DELETE', _ONE)),
    rule(
        'deliveries:redeliver',
        MEMBER,
        'Send again what could not be delivered.',
        ('POST', f'{_SUBSCRIPTION}/redeliver'),
    ),
]
