from queueservice.api.policies.base import MEMBER, READER, rule

_ALL = '/v2/queues/{queue_name}/claims'
_ONE = '/v2/queues/{queue_name}/claims/{claim_id}'

RULES = [
    rule('claims:create', MEMBER, 'Claim messages.', ('POST', _ALL)),
    rule('claims:get', READER, 'Read a claim and its messages.', ('GET', _ONE)),
    rule('claims:update', MEMBER, 'Renew a claim.', ('PATCH', _ONE)),
    rule('claims:delete', MEMBER, 'Release a claim.', ('DELETE', _ONE)),
]
