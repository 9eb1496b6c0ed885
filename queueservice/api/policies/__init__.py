"""Policy rules, one module a noun. What an operator may change is documented by them."""

from queueservice.api.policies import (
    base,
    buckets,
    claims,
    collections,
    deliveries,
    messages,
    projects,
    queues,
    sequences,
    subscriptions,
    user_messages,
)

_MODULES = (
    base,
    queues,
    messages,
    claims,
    projects,
    subscriptions,
    deliveries,
    user_messages,
    buckets,
    collections,
    sequences,
)


def list_rules():
    """Every rule, for the enforcer and for oslopolicy-sample-generator."""
    return [rule for module in _MODULES for rule in module.RULES]
