"""[notification]: confirmation by subscribers, and mail."""

from oslo_config import cfg

from queueservice.model import deliveries

_DEFAULTS = deliveries.Rules()

GROUP = cfg.OptGroup('notification', title='Confirmation and mail')
OPTIONS = [
    cfg.BoolOpt(
        'require_confirmation',
        help='Deliver to http, https and mailto subscribers only after they have confirmed that they want it. '
        'Otherwise anybody who can subscribe can have messages sent to anybody. Turned off, it lets those take part '
        'who were to be asked before, unless they have declined. Without a value it is true with authentication, and '
        'false under noauth.',
    ),
    cfg.StrOpt(
        'public_url',
        default=_DEFAULTS.public_url,
        help='What the links in confirmation requests begin with: the address at which subscribers reach this service, '
        'such as https://queues.example.org. Without it the requests name the path alone.',
    ),
    cfg.StrOpt(
        'external_confirmation_url',
        default=_DEFAULTS.external_confirmation_url,
        help='A page of your own that confirmation mail leads to. It gets Signature, Methods, Paths, Project, Expires, '
        'Url and Queue as parameters, and sends the confirmation. Without it, mail to subscribers leads to public_url.',
    ),
    cfg.StrOpt('smtp_host', default=_DEFAULTS.smtp_host, help='The mail server. Without it no mail is sent.'),
    cfg.PortOpt('smtp_port', default=_DEFAULTS.smtp_port, help='The port of the mail server.'),
    cfg.StrOpt(
        'smtp_security',
        default=_DEFAULTS.smtp_security,
        choices=[('starttls', 'upgrade the connection'), ('tls', 'TLS from the start'), ('none', 'in the clear')],
        help='How the connection to the mail server is protected.',
    ),
    cfg.StrOpt('smtp_user_name', help='The name to log in to the mail server with, if it asks for one.'),
    cfg.StrOpt('smtp_user_password', secret=True, help='The password that belongs to smtp_user_name.'),
    cfg.StrOpt(
        'sender',
        default=_DEFAULTS.sender,
        help='Who mail is from: the address that the mail server accepts it from, and replies and bounces go to.',
    ),
]
