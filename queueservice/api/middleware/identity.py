"""Who asks: the one place where credentials of any kind become a project, a user and roles.

That a request needs credentials is decided by its route alone: `ContextMiddleware` asks here for every route
that is not public. What the request carries only decides of which kind they are, in this order:

* a pre-signed URL, if there is a `URL-Signature` that is not empty;
* a token that this service made, under every strategy;
* with `[DEFAULT] auth_strategy = keystone`, a token that Keystone made;
* with `noauth`, if there is none of these, nothing: `X-Project-Id` and `X-Roles` are believed then.
"""

import collections.abc
import functools
import typing

import falcon
import msgspec

from queueservice.model import tokens

NOAUTH = 'noauth'
KEYSTONE = 'keystone'

#: What a token can be sent with, beside `X-Auth-Token`.
_SCHEMES = ('bearer', 'token')

#: Headers in which a client could say who it is. Nobody below may find them where somebody else has said it.
_CLAIMS = (
    'HTTP_X_PROJECT',
    'HTTP_X_ROLE',
    'HTTP_X_USER',
    'HTTP_X_TENANT',
    'HTTP_X_DOMAIN',
    'HTTP_X_SERVICE',
    'HTTP_X_IDENTITY',
    'HTTP_X_IS_ADMIN',
    'HTTP_X_SYSTEM',
    'HTTP_OPENSTACK_SYSTEM_SCOPE',
)


class Identity(msgspec.Struct, frozen=True):
    """Who asks, as somebody vouches for it: this service, Keystone, or whoever signed a URL."""

    project: str
    user: str  # for people who read logs
    roles: frozenset[str]
    link: str | None = None  # who comes by the link that one subscription was sent: that one's id


class TokenIssuer(typing.Protocol):
    """Somebody else who makes tokens."""

    #: For WWW-Authenticate: where clients get a token.
    challenge: str

    def identify(self, token: str) -> Identity | None:
        """Whose token it is, or None if it is none or has expired.

        :raises falcon.HTTPError: it is good, but not for this; or nobody can say now (503).
        """


class Authentication:
    """Answers who sends a request, or refuses it.

    :param services: `tokens` of it is used.
    :param issuer: who makes tokens beside this service, if anybody.
    :param read_signature: gives the identity that a request with a `URL-Signature` has, for this resource,
        or raises 404; None: such a header means nothing.
    """

    def __init__(
        self,
        strategy: str,
        services,
        issuer: TokenIssuer | None = None,
        read_signature: collections.abc.Callable[[falcon.Request, object], Identity] | None = None,
    ):
        self.is_required = strategy != NOAUTH
        self._services = services
        self._issuer = issuer
        self._read_signature = read_signature
        self._challenges = [*([issuer.challenge] if issuer else []), 'Bearer realm="queueservice"']

    def identify(self, req: falcon.Request, resource: object) -> Identity | None:
        """Who sends `req`; None if that is for its headers to say. If it is not, they say nothing any more.

        :raises falcon.HTTPUnauthorized: it has no credentials, or they are not good (any more).
        """
        if self._read_signature is not None and req.env.get('HTTP_URL_SIGNATURE'):
            identity = self._read_signature(req, resource)
        else:
            identity = self._read_token(req.env)
        if identity is not None:
            for name in [name for name in req.env if name.startswith(_CLAIMS)]:
                del req.env[name]
        return identity

    def _read_token(self, env):
        token = _find_token(env)
        if token is not None and tokens.is_token(token):
            found = self._services.tokens.resolve(token)
            if found is None:
                raise self._unauthorized('The token is not known here, has expired or was revoked. Ask for a new one.')
            return _identify(found)
        if not self.is_required:
            return None  # others may have put there what means something to them
        if token is None:
            raise self._unauthorized('A token is needed. Send it as X-Auth-Token, or as Authorization: Bearer.')
        identity = self._issuer.identify(token) if self._issuer else None
        if identity is None:
            raise self._unauthorized('The token is not good, or has expired. Ask for a new one and send it alone.')
        return identity

    def _unauthorized(self, description):
        return falcon.HTTPUnauthorized(title='Unauthorized', description=description, challenges=self._challenges)


def imply(roles: collections.abc.Iterable[str]) -> frozenset[str]:
    """The roles in lower case, and those that they include: who is admin is member, and who is member is reader."""
    roles = frozenset(role.strip().lower() for role in roles)
    if 'admin' in roles:
        return roles | {'member', 'reader'}
    return roles | {'reader'} if 'member' in roles else roles


@functools.lru_cache(maxsize=16384)
def _identify(token: tokens.Token) -> Identity:
    return Identity(token.project, f'token:{token.id}', imply(token.roles))


def _find_token(env):
    token = env.get('HTTP_X_AUTH_TOKEN', '').strip()
    if not token:
        scheme, _, token = env.get('HTTP_AUTHORIZATION', '').strip().partition(' ')
        token = token.strip() if scheme.lower() in _SCHEMES else ''
    return token or None
