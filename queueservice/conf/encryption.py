"""[encryption]: keys for queues that want their messages encrypted at rest."""

from oslo_config import cfg

GROUP = cfg.OptGroup('encryption', title='Encryption of messages at rest')
OPTIONS = [
    cfg.ListOpt(
        'keys',
        default=[],
        secret=True,
        help='The keys of queues with _enable_encrypt_messages, as ID:BASE64 with 32 bytes each, separated by commas. '
        'The first one encrypts, all of them decrypt. "queueservice-manage encryption key" makes one. Without a key no '
        'queue can be encrypted. To change keys, add the new one behind the old on every host first, then move it to '
        'the front, and take the old one away when the last message of its time has expired.',
    ),
]
