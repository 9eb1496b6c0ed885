"""[server]: where and how queueservice-server listens."""

from oslo_config import cfg

GROUP = cfg.OptGroup('server', title='The HTTP server')
OPTIONS = [
    cfg.StrOpt(
        'host',
        default='127.0.0.1',
        help='The address to listen on. Without authentication any address but a loopback one is refused unless '
        'allow_open_noauth says otherwise.',
    ),
    cfg.PortOpt('port', default=8888, help='The port to listen on.'),
    cfg.IntOpt(
        'workers',
        min=1,
        max=512,
        help='How many processes answer requests. Without a value, as many as the machine has cores (8 at the '
        'most), and one where the storage driver can be used by one process only.',
    ),
    cfg.IntOpt(
        'threads',
        default=8,
        min=1,
        max=512,
        help='How many requests each process works on at a time. Requests wait for the disk and for their clients, so '
        'a process needs several. With the memory driver behind a proxy that buffers requests, 1 answers more requests '
        'a second, because threads only take turns there.',
    ),
    cfg.BoolOpt(
        'worker',
        default=True,
        help='Deliver to subscribers, too: queueservice-server runs a worker beside the processes that answer '
        'requests. Turn it off where queueservice-worker runs by itself. With a storage driver that can be used by one '
        'process only, that process delivers.',
    ),
    cfg.BoolOpt(
        'allow_open_noauth',
        default=False,
        help='Listen on other addresses than loopback without authentication. Everybody who can reach the port can '
        'then read, change and delete the messages of every project.',
    ),
    cfg.BoolOpt('access_log', default=False, help='Log one line for each request.'),
    cfg.IntOpt(
        'limit_request_line',
        default=8000,
        min=1024,
        max=8190,
        help='The most bytes of the first line of a request: its method, path and query. A request that names 100 '
        'messages and 100 claims to delete needs about 5100. A longer one is answered with 414.',
    ),
    cfg.IntOpt(
        'limit_request_fields',
        default=64,
        min=16,
        max=1024,
        help='The most headers of a request. Count those that your proxies add. One with more is answered with 431.',
    ),
    cfg.IntOpt(
        'limit_request_field_size',
        default=8190,
        min=1024,
        max=65536,
        help='The most bytes of one header of a request, its name included. Raise it if your tokens are longer. A '
        'request with a longer one is answered with 431.',
    ),
    cfg.IntOpt(
        'graceful_timeout',
        default=30,
        min=1,
        help='Seconds that requests in progress get to finish when the server is told to stop or to reload.',
    ),
]
