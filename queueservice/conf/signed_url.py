"""[signed_url]: what pre-signed URLs are signed with."""

from oslo_config import cfg

GROUP = cfg.OptGroup('signed_url', title='Pre-signed URLs')
OPTIONS = [
    cfg.ListOpt(
        'secret_key',
        secret=True,
        help='Secrets that pre-signed URLs are signed with, separated by commas, 32 characters each at least. The '
        'first one signs, and URLs signed with any of them are good: to change the secret, put the new one in front '
        'and take the old one away a week later. To end all URLs at once, take it away now. Without a value the '
        'service makes a secret of its own and keeps it in the store, for all processes and hosts that use that store.',
    ),
]
