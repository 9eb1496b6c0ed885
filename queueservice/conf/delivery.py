"""[delivery]: how the worker delivers what subscribers are to get."""

from oslo_config import cfg

from queueservice.model import deliveries

_DEFAULTS = deliveries.Rules()

GROUP = cfg.OptGroup('delivery', title='Delivery to subscribers')
OPTIONS = [
    cfg.ListOpt(
        'allowed_networks',
        default=[],
        help='Networks, such as 10.1.0.0/16, to which webhooks may be delivered although their addresses are not '
        'public. Every tenant can make this service send requests to them.',
    ),
    cfg.ListOpt(
        'allowed_ports',
        default=[],
        item_type=cfg.types.Port(),
        help='Ports below 1024, beside 80 and 443, to which webhooks may be delivered.',
    ),
    cfg.IntOpt(
        'workers',
        default=_DEFAULTS.workers,
        min=1,
        max=512,
        help='How many deliveries one worker process makes at a time. A quarter of them at the most goes to one host, '
        'and half of them to subscribers of one project.',
    ),
    cfg.IntOpt(
        'timeout',
        default=_DEFAULTS.timeout,
        min=1,
        max=60,
        help='Seconds that one attempt may take, from looking up the name to the last byte of the answer.',
    ),
    cfg.IntOpt(
        'max_wait',
        default=_DEFAULTS.max_wait,
        min=1,
        help='The most seconds between two attempts, whatever a retry policy or the Retry-After of a subscriber says.',
    ),
    cfg.IntOpt(
        'retention',
        default=_DEFAULTS.retention,
        min=0,
        help='Seconds for which it is remembered how a delivery ended that needs nobody to act. Failed deliveries '
        'stay until they are sent again or deleted, or their subscription ends.',
    ),
]
