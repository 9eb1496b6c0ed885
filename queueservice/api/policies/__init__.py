"""Policy rules, one module a noun. What an operator may change is documented by them."""

from queueservice.api.policies import base, claims, messages, projects, queues, subscriptions


def list_rules():
    """Every rule, for the enforcer and for oslopolicy-sample-generator."""
    return [*base.RULES, *queues.RULES, *messages.RULES, *claims.RULES, *projects.RULES, *subscriptions.RULES]
