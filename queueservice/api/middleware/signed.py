"""Requests that come with a pre-signed URL in place of a token."""

import falcon

from queueservice.api.middleware import context, identity
from queueservice.model import errors, signatures

#: Whoever signed for somebody could do all of this, and nothing more can be handed on.
_ROLES = identity.imply(['member'])


class SignatureReader:
    """
    :param services: `shares` and `links` of it are used.
    """

    def __init__(self, services):
        self._services = services

    def read(self, req: falcon.Request, resource: object) -> identity.Identity:
        """Who may send `req`, because its signature says so.

        :raises NotFound: whatever is wrong with it: whoever tries does not learn what.
        """
        header = req.env.get
        grant = signatures.read(
            header('HTTP_URL_PATHS', ''),
            header('HTTP_URL_METHODS', ''),
            context.decode(header('HTTP_X_PROJECT_ID', '')),
            header('HTTP_URL_EXPIRES', ''),
        )
        signature = header('HTTP_URL_SIGNATURE')
        if grant is None or not self._is_good(grant, signature, req):
            raise errors.NotFound(
                description='The pre-signed URL is not good for this request. It may have expired, or be for another '
                'method, path or project; its headers must be sent as they were given out.'
            )
        if grant.link:
            return identity.Identity(grant.project, 'confirmation link', _ROLES, grant.link)
        return identity.Identity(grant.project, 'pre-signed URL', _ROLES)

    def _is_good(self, grant, signature, req):
        service = self._services.links if grant.link else self._services.shares
        return service.is_good(grant, signature, req.method, req.path)
