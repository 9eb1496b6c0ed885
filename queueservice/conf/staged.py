"""[staged]: message sets that recipients get one by one."""

from oslo_config import cfg

from queueservice.model import schedules
from queueservice.services import sequences

_DEFAULTS = sequences.Rules()
_OF_PROJECT = 'A token that is made for a project may say something else for it.'

GROUP = cfg.OptGroup('staged', title='Staged messaging')
OPTIONS = [
    cfg.StrOpt(
        'timezone',
        default=_DEFAULTS.timezone,
        help='The time zone in which schedules are read, by its name in the IANA database, such as '
        'Africa/Johannesburg. Daylight saving is taken care of. A change holds for each schedule from its next run on. '
        f'{_OF_PROJECT}',
    ),
    cfg.StrOpt(
        'misfire',
        default=_DEFAULTS.misfire,
        choices=[
            (schedules.ONCE, 'the last one is made up for, as soon as a worker runs again'),
            (schedules.SKIP, f'they are left out if they are more than {schedules.GRACE} seconds late'),
        ],
        help=f'What becomes of the runs of a schedule at which no worker was there. {_OF_PROJECT}',
    ),
    cfg.StrOpt(
        'identity_url',
        help='Where the address of a recipient is asked for whose subscription has no "to_addr" in its metadata: an '
        'identity store, such as https://identities.example.org/api/v1. Without it, the identity itself is the '
        'address. It is reached as webhooks are: an address that is not public needs [delivery] allowed_networks. '
        f'{_OF_PROJECT}',
    ),
    cfg.StrOpt(
        'outbound_queue',
        default=_DEFAULTS.outbound_queue,
        regex=r'[A-Za-z0-9_.-]{1,64}',
        help='The queue of each project that messages to recipients are posted to. Whoever sends them on subscribes '
        f'to it, or claims from it. {_OF_PROJECT}',
    ),
    cfg.StrOpt(
        'metrics_queue',
        default=_DEFAULTS.metrics_queue,
        regex=r'|[A-Za-z0-9_.-]{1,64}',
        help='The queue of each project that its metrics are posted to. Empty: they are posted nowhere.',
    ),
    cfg.IntOpt(
        'max_file_size',
        default=_DEFAULTS.max_file_size,
        min=1,
        max=8 * 1024 * 1024,
        help='The most bytes of a file that is uploaded for a message.',
    ),
]
