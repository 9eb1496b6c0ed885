"""Tokens that Keystone made. Imported only where they are wanted: keystonemiddleware is an extra.

keystonemiddleware asks Keystone; what it answers is remembered here, because its own cache keeps too much for too
long and answers inventions one by one.
"""

import collections.abc
import datetime
import logging
import re
import threading
import time

import falcon
import msgspec
from keystoneauth1 import exceptions
from keystonemiddleware import auth_token
from oslo_config import cfg

from queueservice.api.middleware import identity
from queueservice.services import token_cache

_LOG = logging.getLogger(__name__)

_GROUP = 'keystone_authtoken'

#: Seconds that a good token is believed at the most, whatever token_cache_time says.
LONGEST = 300
#: Seconds without a question after one that Keystone did not answer; clients are told to wait so long, too.
_PAUSE = 2.0

#: What can be a token at all: nobody asks Keystone about anything else.
_TOKEN = re.compile(r'[A-Za-z0-9._~+/=-]{1,4096}')


class Unreachable(Exception):
    """Keystone does not answer, or not as Keystone would."""


class Keystone:
    """An `identity.TokenIssuer`.

    While Keystone does not answer, remembered tokens go on and all others are 503; one thread at a time tries
    again, so that the others stay free for those who are remembered.

    :param ask: what Keystone says of a token (the object "token" of its answer), None if it is none.
        Raises `Unreachable`.
    :param uri: where clients get a token.
    :param longest: seconds that a good token is believed.
    """

    def __init__(
        self,
        ask: collections.abc.Callable[[str], dict | None],
        uri: str,
        longest: float = LONGEST,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self.challenge = f'Keystone uri="{uri}"'
        self._ask = ask
        self._clock = clock
        self._cache = token_cache.TokenCache(clock, min(longest, LONGEST))
        self._failed_at: float | None = None
        self._trial = threading.Lock()

    def identify(self, token: str) -> identity.Identity | None:
        if not _TOKEN.fullmatch(token):
            return None
        try:
            found = self._cache.find(token, lambda: self._find_out(token))
        except Unreachable:
            raise falcon.HTTPServiceUnavailable(
                title='Service temporarily unavailable',
                description='Nobody can say whether the token is good: Keystone does not answer. Please try again.',
                retry_after=int(_PAUSE),
            ) from None
        if isinstance(found, str):
            raise falcon.HTTPForbidden(title='Not authorized', description=found)
        return found

    def _find_out(self, token):
        if self._failed_at is None:
            return self._try(token)
        is_fresh = 0 <= self._clock() - self._failed_at < _PAUSE
        if is_fresh or not self._trial.acquire(blocking=False):
            raise Unreachable('Keystone did not answer a moment ago.')
        try:
            return self._try(token)
        finally:
            self._trial.release()

    def _try(self, token):
        try:
            found = self._ask(token)
        except Unreachable as error:
            _LOG.error('Keystone does not answer, only tokens that are remembered are good now: %s', error)
            self._failed_at = self._clock()
            raise
        self._failed_at = None
        return None if found is None else _read(found)


def load(conf: cfg.ConfigOpts) -> Keystone:
    """Keystone as `[keystone_authtoken]` names it. Nothing is asked yet.

    :raises ValueError: something is missing or wrong there; says what.
    """
    for group, options in auth_token.list_opts():
        conf.register_opts(options, group)
    # Its own defaults let a request wait for ever.
    conf.set_default('http_connect_timeout', 5, _GROUP)
    conf.set_default('http_request_max_retries', 1, _GROUP)
    try:
        section = conf[_GROUP]
        if not section.auth_type and not section.auth_section:
            raise ValueError('auth_type is missing. Set it to "password", and give auth_url and the account.')
        validator = _Validator(conf)
        uri = section.www_authenticate_uri or conf[section.auth_section or _GROUP].auth_url
        return Keystone(validator.ask, uri, section.token_cache_time)
    except (ValueError, cfg.Error, exceptions.ClientException, auth_token.ConfigurationError) as error:
        raise ValueError(f'[{_GROUP}] {error}') from None


class _Validator(auth_token.AuthProtocol):
    """keystonemiddleware without its WSGI half and without its cache."""

    def __init__(self, conf):
        super().__init__(
            None, {'oslo_config_config': conf, 'include_service_catalog': 'false', 'memcached_servers': ''}
        )

    def ask(self, token: str) -> dict | None:
        try:
            return self._identity_server.verify_token(token)['token']
        except auth_token.InvalidToken:
            return None
        except (auth_token.ServiceError, exceptions.ClientException) as error:
            raise Unreachable(f'{type(error).__name__}: {error}') from None
        except (LookupError, TypeError, ValueError) as error:  # what answers is no Keystone
            raise Unreachable(f'It gave an answer that cannot be read ({type(error).__name__}).') from None


class _Named(msgspec.Struct):
    id: str


class _Role(msgspec.Struct):
    name: str


class _Described(msgspec.Struct):
    """What counts of a token, as Keystone describes it."""

    user: _Named
    expires_at: datetime.datetime
    project: _Named | None = None
    roles: list[_Role] = []
    application_credential: dict | None = None


def _read(token):
    """(the identity, or why there is none; the instant at which it ends)"""
    try:
        found = msgspec.convert(token, _Described)
    except msgspec.ValidationError as error:
        raise Unreachable(f'It described a token in a way that cannot be read: {error}') from None
    expires_at = found.expires_at.timestamp()
    if (found.application_credential or {}).get('access_rules') is not None:
        return 'This token is bound to access rules, which are not known here. Use one without them.', expires_at
    if found.project is None:
        return 'This token is for no project. Ask Keystone for one that is scoped to a project.', expires_at
    roles = identity.imply(role.name for role in found.roles)
    return identity.Identity(found.project.id, found.user.id, roles), expires_at
