"""May this project send another request already?"""

from queueservice.model import errors


class RatesMiddleware:
    """Counts the requests of a project where it has a rate, and answers 429 to those that are too many.

    What does not use the store is not counted: the documents, health and ping.
    """

    def __init__(self, services):
        self._services = services

    def process_resource(self, req, resp, resource, params):
        if self._services.quotas.are_off() or not resource.counted:
            return
        caller = req.context.caller
        allowance = self._services.rates.take(caller.namespace, caller.project)
        if allowance is None:
            return
        resp.set_header('RateLimit-Limit', str(allowance.limit))
        resp.set_header('RateLimit-Remaining', str(allowance.remaining))
        resp.set_header('RateLimit-Reset', str(allowance.reset))
        if allowance.wait:
            resp.set_header('Retry-After', str(allowance.wait))
            raise errors.RateExceeded(most=allowance.rate, wait=allowance.wait)
