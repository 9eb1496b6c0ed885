"""[capture]: what is kept of HTTP exchanges."""

from oslo_config import cfg

from queueservice.model import captures

_DEFAULTS = captures.Rules()

GROUP = cfg.OptGroup('capture', title='Captured HTTP exchanges')
OPTIONS = [
    cfg.IntOpt(
        'retention',
        default=_DEFAULTS.retention,
        min=0,
        help='How many exchanges each bucket keeps, beside those that its collections hold. The oldest ones make room '
        'for others. With 0 no attempt to deliver a message is captured.',
    ),
    cfg.IntOpt(
        'max_body',
        default=_DEFAULTS.max_body,
        min=0,
        max=4 * 1024 * 1024,
        help='Bytes that are kept of the body of each request and of each response. What was cut is marked.',
    ),
]
