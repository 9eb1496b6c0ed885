"""[DEFAULT]: what the service serves."""

from oslo_config import cfg

GROUP = None
OPTIONS = [
    cfg.StrOpt(
        'auth_strategy',
        default='noauth',
        choices=[
            ('noauth', 'nobody has to: X-Project-Id and X-Roles are believed'),
            ('tokens', 'with a token that "queueservice-manage token create" made'),
            ('keystone', 'with a token of the Keystone that [keystone_authtoken] names, or one of the others'),
        ],
        help='How clients authenticate. Set it to "keystone" in an OpenStack and to "tokens" elsewhere as soon as '
        'others than you can reach the service.',
    ),
    cfg.BoolOpt(
        'admin_mode',
        default=False,
        help='Serve the routes for administrators (the health report, the list of projects). Without '
        'authentication this also gives every caller the admin role, so switch it on only in a process '
        'that administrators alone can reach.',
    ),
    cfg.ListOpt(
        'enable_deprecated_api_versions',
        default=['1', '1.1'],
        help='Which of the older API versions, 1 and 1.1, are served beside version 2. Leave out what no '
        'client of yours needs.',
    ),
    cfg.BoolOpt(
        'enable_checksum',
        default=False,
        help='Store an MD5 checksum with each message (over the bytes of its body, as they were sent) and show '
        'it to readers of API v2. Switch it on if your consumers check what they receive.',
    ),
    cfg.BoolOpt(
        'unreliable',
        default=False,
        help='Put up with a MongoDB that may lose acknowledged messages: a standalone server, or a write concern '
        'below "majority" in the URI. Set it for tests only.',
    ),
]
