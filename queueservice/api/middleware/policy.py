"""May this caller do this? Each resource names the rule of each of its methods."""

import falcon
from oslo_config import cfg
from oslo_policy import policy

from queueservice.api import policies
from queueservice.model import errors


class PolicyMiddleware:
    """Enforces the rules of `policies`, changed as the operator's policy file says.

    A rule sees the caller's roles; the project is the caller's own by now on every route. So what a
    caller was allowed once it is allowed again.
    """

    def __init__(self, conf: cfg.ConfigOpts | None = None):
        if conf is None:
            conf = cfg.ConfigOpts()
            conf([], default_config_files=[], default_config_dirs=[])
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.suppress_deprecation_warnings = True
        self._enforcer.register_defaults(policies.list_rules())
        self._enforcer.load_rules()

    def process_resource(self, req, resp, resource, params):
        rule = resource.policies.get(req.method)
        if rule is None:  # a method that the resource does not have, or a public resource
            if resource.only:
                raise falcon.HTTPRouteNotFound()
            return
        caller = req.context.caller
        if rule in caller.allowed:
            return
        if not self._enforcer.enforce(rule, {}, {'roles': sorted(caller.roles)}):
            raise errors.NotAuthorized(rule=rule)
        caller.allowed.add(rule)


def check_guarded(resource: object, public: bool) -> None:
    """Refuse a resource with a method that no documented rule guards.

    :raises ValueError: at start, before anything is served.
    """
    known = {rule.name for rule in policies.list_rules()}
    for method in ('GET', 'HEAD', 'PUT', 'POST', 'PATCH', 'DELETE'):
        if not hasattr(resource, f'on_{method.lower()}'):
            continue
        rule = resource.policies.get(method)
        if not public and rule not in known:
            raise ValueError(f'{type(resource).__name__} answers {method} without a documented policy rule.')
