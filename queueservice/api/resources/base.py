"""What every resource is made with."""

from queueservice.api import dialects


class Resource:
    """One URL in one version of the API.

    `services` is `bootstrap.Services`. `policies` names the rule that guards each method; an application
    with an unguarded one does not start.
    """

    policies: dict[str, str] = {}

    def __init__(self, services, dialect: dialects.V2):
        self.services = services
        self.dialect = dialect


class PublicResource:
    """A URL outside the versions: no headers are asked for, and everybody may read it."""

    policies: dict[str, str] = {}
    dialect = None
