"""[user_messages]: what projects are told when something has failed in the end."""

from oslo_config import cfg

from queueservice.services import user_messages

GROUP = cfg.OptGroup('user_messages', title='User messages')
OPTIONS = [
    cfg.IntOpt(
        'ttl',
        default=user_messages.DEFAULT_TTL,
        min=60,
        help='Seconds for which a user message is kept. Those that are there already stay as long as they say.',
    ),
]
