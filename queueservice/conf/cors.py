"""[cors]: which web pages of other sites may use the API from a browser. Option names are those of the field."""

from oslo_config import cfg

GROUP = cfg.OptGroup('cors', title='Web pages of other sites')
OPTIONS = [
    cfg.ListOpt(
        'allowed_origin',
        help='Origins whose pages may call the API and read its answers, such as https://console.example.com. Without '
        'a value browsers let none. "*" stands for every origin; it cannot be combined with allow_credentials.',
    ),
    cfg.BoolOpt(
        'allow_credentials',
        default=False,
        help='Let browsers send cookies and client certificates along. The API itself uses neither: set it only where '
        'a proxy in front asks for them.',
    ),
    cfg.ListOpt(
        'allow_methods',
        default=['GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'],
        help='Methods that such pages may use.',
    ),
    cfg.ListOpt(
        'allow_headers',
        default=[
            'Authorization',
            'Client-ID',
            'Content-Type',
            'Idempotency-Key',
            'OpenStack-API-Version',
            'URL-Expires',
            'URL-Methods',
            'URL-Paths',
            'URL-Signature',
            'X-Auth-Token',
            'X-OpenStack-Request-ID',
            'X-Project-Id',
        ],
        help='Headers that such pages may send, beside those that every page may send.',
    ),
    cfg.ListOpt(
        'expose_headers',
        default=['Location', 'OpenStack-API-Version', 'Retry-After', 'X-OpenStack-Request-ID'],
        help='Headers of answers that such pages may read, beside those that every page may read.',
    ),
    cfg.IntOpt('max_age', default=3600, min=0, help='Seconds for which a browser may remember what this group allows.'),
]
