"""[limits]: what one project may use at the most."""

from oslo_config import cfg

from queueservice.model import quotas

_DEFAULTS = quotas.Quotas()

GROUP = cfg.OptGroup('limits', title='What one project may use')


def _limit(name, help_text):
    return cfg.IntOpt(
        name,
        default=getattr(_DEFAULTS, name),
        min=0,
        max=quotas.MOST,
        help=f'{help_text} 0 means no limit. Administrators can set another value for a project.',
    )


OPTIONS = [
    _limit(
        'requests_per_second',
        'How many requests a second each project may send, to all processes and hosts together. More are answered '
        'with 429 until there is room again.',
    ),
    cfg.IntOpt(
        'request_burst',
        default=_DEFAULTS.request_burst,
        min=0,
        max=quotas.MOST,
        help='How many requests a project that was quiet may send at once, if it has a rate. 0 means as many as '
        'requests_per_second. Administrators can set another value for a project.',
    ),
    _limit('queues', 'How many queues each project may have. 10000 is a good value where projects are strangers.'),
    _limit(
        'messages',
        'How many messages each project may keep, in all its queues. 1000000 is a good value where projects are '
        'strangers.',
    ),
    _limit(
        'bytes',
        'How many bytes the bodies of the messages may have that each project keeps. 10000000000 is a good value '
        'where projects are strangers.',
    ),
    _limit(
        'messages_in_flight_per_queue',
        'How many messages of each queue may be claimed at a time. Set it if workers that claim and never delete are '
        'to be noticed soon.',
    ),
    _limit(
        'subscriptions_per_queue',
        'How many subscriptions each queue may have; never more than 10000. 100 is a good value where projects are '
        'strangers.',
    ),
]
