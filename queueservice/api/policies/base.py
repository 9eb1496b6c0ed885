"""What the other rules are made of, and the rules of the service's own routes."""

from oslo_policy import policy

READER = 'role:reader'
MEMBER = 'role:member'
ADMIN = 'role:admin'


def rule(name: str, check: str, description: str, *operations: tuple[str, str]) -> policy.DocumentedRuleDefault:
    """A documented rule. Whoever is admin is member too, and whoever is member is reader."""
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        description=description,
        operations=[{'method': method, 'path': path} for method, path in operations],
    )


RULES = [
    rule('ping:get', READER, 'Ask whether the service can store messages.', ('GET', '/v2/ping')),
    rule('home:get', READER, 'Read the home document.', ('GET', '/v2/')),
    rule('health:get', ADMIN, 'Read the health report.', ('GET', '/v2/health')),
]
