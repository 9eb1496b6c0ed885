"""Options of the SQLite driver, and the driver that they describe."""

import os
import pathlib

from oslo_config import cfg

GROUP = cfg.OptGroup('storage:sqlite', title='The SQLite driver')
OPTIONS = [
    cfg.StrOpt(
        'synchronous',
        default='full',
        choices=[
            ('full', 'every acknowledged message survives a power failure'),
            ('normal', 'the last ones may be lost with the power, none with a process; faster on slow disks'),
        ],
        help='When a message counts as stored. Choose "normal" only if losing the last moments before a '
        'power failure is acceptable.',
    ),
]


def list_opts():
    return [(GROUP, OPTIONS)]


def default_path() -> pathlib.Path:
    """The data file when none is configured: in the user's state directory.

    Source: XDG Base Directory Specification, $XDG_STATE_HOME.
    """
    state = os.environ.get('XDG_STATE_HOME') or os.path.join(os.path.expanduser('~'), '.local', 'state')
    return pathlib.Path(state) / 'queueservice' / 'queueservice.db'


def build_driver(conf):
    from queueservice.storage.drivers.sqlite import driver

    conf.register_group(GROUP)
    conf.register_opts(OPTIONS, group=GROUP)
    uri = conf.storage.uri
    if not uri:
        path = default_path()
    elif uri.startswith('sqlite:///'):
        path = pathlib.Path(uri.removeprefix('sqlite:///'))  # sqlite:////PATH is absolute
    else:
        raise ValueError(f'[storage] uri "{uri}" does not name a SQLite file. Write sqlite:///PATH.')
    return driver.Driver(path, synchronous=conf['storage:sqlite'].synchronous)
