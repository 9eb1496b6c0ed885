from queueservice.api.policies.base import MEMBER, READER, rule

_ALL = '/v2/queues/{queue_name}/messages'
_ONE = '/v2/queues/{queue_name}/messages/{message_id}'

RULES = [
    rule('messages:get_all', READER, 'List messages, or read several by their ids.', ('GET', _ALL)),
    rule('messages:create', MEMBER, 'Post messages.', ('POST', _ALL)),
    rule('messages:delete_all', MEMBER, 'Delete several messages by their ids, or pop.', ('DELETE', _ALL)),
    rule('messages:get', READER, 'Read one message.', ('GET', _ONE)),
    rule('messages:delete', MEMBER, 'Delete one message.', ('DELETE', _ONE)),
]
