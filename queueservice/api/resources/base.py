"""What every resource is made with."""

from queueservice.api import dialects, operations
from queueservice.services import audit


class Resource:
    """One URL in one version of the API.

    `services` is `bootstrap.Services`. `policies` names the rule that guards each method; an application
    with an unguarded one does not start. `operations` says of each method what it takes and answers. `counted` says
    whether requests count against the rate of their project. `only` says whether methods that it lacks are as unknown
    as a path that leads nowhere.
    """

    policies: dict[str, str] = {}
    counted = True
    only = False

    @staticmethod
    def operations(dialect: dialects.V2) -> dict[str, operations.Operation]:
        return {}

    def __init__(self, services, dialect: dialects.V2):
        self.services = services
        self.dialect = dialect

    def audit(self, req, action: str, **facts) -> None:
        """Write in the audit log that the caller did this; `facts` as in `services.audit.record`."""
        caller = req.context.caller
        audit.record(action, project=caller.project, user=caller.user, roles=caller.roles, **facts)


class PublicResource:
    """A URL outside the versions: no headers are asked for, and everybody may read it."""

    policies: dict[str, str] = {}
    counted = False
    only = False
    dialect = None

    @staticmethod
    def operations(dialect: None = None) -> dict[str, operations.Operation]:
        return {}
