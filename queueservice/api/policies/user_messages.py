from queueservice.api.policies.base import MEMBER, READER, rule

_ALL = '/v3/messages'
_ONE = '/v3/messages/{user_message_id}'

RULES = [
    rule('user_messages:get_all', READER, 'List the user messages of the project.', ('GET', _ALL)),
    rule('user_messages:get', READER, 'Read one user message.', ('GET', _ONE)),
    rule('user_messages:delete', MEMBER, 'Delete one user message.', ('DELETE', _ONE)),
]
