"""[transport]: bounds and defaults of the API. Option names are those of the field."""

from oslo_config import cfg

from queueservice.model import deliveries, limits

_DEFAULTS = limits.Limits()

GROUP = cfg.OptGroup('transport', title='Bounds and defaults of the API')


def _seconds(name, help_text, least=limits.MIN_TTL):
    return cfg.IntOpt(name, default=getattr(_DEFAULTS, name), min=least, help=help_text)


def _count(name, help_text):
    return cfg.IntOpt(name, default=getattr(_DEFAULTS, name), min=1, help=help_text)


OPTIONS = [
    _seconds('default_message_ttl', 'Seconds a message lives if neither its post nor its queue says.'),
    _seconds('default_message_delay', 'Seconds until a message can be seen if neither its post nor its queue says.', 0),
    _seconds('default_claim_ttl', 'Seconds a claim lasts if its request does not say.'),
    _seconds('default_claim_grace', 'Seconds a message outlives its claim if the request does not say.'),
    _seconds('default_subscription_ttl', 'Seconds a subscription lives if its request does not say.'),
    _count('max_queues_per_page', 'The most queues in one page of a list.'),
    _count('max_subscriptions_per_page', 'The most subscriptions, or deliveries of one, in one page of a list.'),
    cfg.ListOpt(
        'subscriber_types',
        default=list(deliveries.Rules().subscriber_types),
        item_type=cfg.types.String(choices=['http', 'https', 'mailto', 'queue']),
        help='What subscribers may be: the schemes of their addresses.',
    ),
    _count(
        'max_messages_per_page',
        'The most messages in one page of a list, and the most ids in one request. Bodies of a whole page are held '
        'in memory at once.',
    ),
    _count('max_messages_per_claim_or_pop', 'The most messages that one claim or pop returns.'),
    _count('max_queue_metadata', 'The most bytes of the metadata document of a queue.'),
    _count('max_messages_post_size', 'The most bytes of a request that posts messages.'),
    _seconds('max_message_ttl', 'The longest that a message may be asked to live, in seconds.'),
    _seconds('max_message_delay', 'The longest delay of a message, in seconds.', 0),
    _seconds('max_claim_ttl', 'The longest that a claim may be asked to last, in seconds.'),
    _seconds('max_claim_grace', 'The longest grace of a claim, in seconds.'),
    cfg.StrOpt(
        'client_id_uuid_safe',
        default='strict',
        choices=[('strict', 'a UUID'), ('off', 'any text of min_length_client_id to max_length_client_id characters')],
        help='What a Client-ID header must be in API v1.1 and v2.',
    ),
    cfg.IntOpt(
        'min_length_client_id', default=10, min=1, max=1000, help='The shortest Client-ID if it need not be a UUID.'
    ),
    cfg.IntOpt(
        'max_length_client_id', default=36, min=1, max=1000, help='The longest Client-ID if it need not be a UUID.'
    ),
    cfg.BoolOpt(
        'message_delete_with_claim_id',
        default=False,
        help='Let messages be deleted only under the claims that hold them: by a claim_id for one message, by '
        'claim_ids for several.',
    ),
]
