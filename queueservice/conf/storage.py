"""[storage]: where messages are kept."""

from oslo_config import cfg

GROUP = cfg.OptGroup('storage', title='Storage')
OPTIONS = [
    cfg.StrOpt(
        'driver',
        default='sqlite',
        help='The storage driver: "sqlite" keeps everything in one file and serves one host; "mongodb" keeps it in a '
        'MongoDB replica set or sharded cluster and serves many; "memory" keeps it in one process and loses it with '
        'the process.',
    ),
    cfg.StrOpt(
        'uri',
        secret=True,
        help='What the driver opens. sqlite:///PATH names a file (sqlite:////PATH if the path is absolute); without a '
        "value it is queueservice/queueservice.db in the user's state directory ($XDG_STATE_HOME, or ~/.local/state). "
        'mongodb://HOST:PORT,.../DATABASE?replicaSet=NAME names a MongoDB, which has no default.',
    ),
]
