"""Tokens of the service's own: made, listed, revoked, and told from inventions."""

import collections.abc
import time
import types

from queueservice.model import errors, queues, tokens
from queueservice.services import project_rules, token_cache
from queueservice.storage import base, records, tables

#: Seconds for which a process believes what it found in the store: how late a revocation is noticed.
REMEMBERED = 10.0

_PAGE = 500
_NO_RULES = types.MappingProxyType({})


class Tokens:
    def __init__(
        self,
        driver: base.Driver,
        rules: project_rules.ProjectRules,
        clock: collections.abc.Callable[[], float] = time.time,
    ):
        self._records = driver.records
        self._rules = rules
        self._clock = clock
        self._cache = token_cache.TokenCache(clock, REMEMBERED)

    def resolve(self, token: str) -> tokens.Token | None:
        """What is known of `token`, perhaps from a few seconds ago; None if it was never made, revoked or has expired.

        It is looked up by its digest, so no comparison tells by its time how much of a guess was right.
        """
        return self._cache.find(token, lambda: self._load(tokens.digest(token)))

    def create(
        self,
        project: str,
        roles: list[str],
        name: str = '',
        ttl: int | None = None,
        rules: collections.abc.Mapping[str, str | None] = _NO_RULES,
    ) -> tuple[tokens.Token, str]:
        """Make a token; what is kept of it, and the token itself, which cannot be had again.

        :param ttl: seconds that it may be used; None: until it is revoked.
        :param rules: how staged messaging of the project goes on from now on, as `ProjectRules.change`. They are the
            project's and not the token's: they hold for every token, and stay when it is revoked.
        :raises Invalid: the project, a role, the name, the ttl or a rule is not one.
        """
        queues.check_project(project)
        now = self._clock()
        ttl = tokens.check_ttl(ttl)
        made = tokens.Token(
            id=tokens.new_id(),
            project=project,
            name=tokens.check_name(name),
            roles=tokens.check_roles(roles),
            created_at=now,
            expires_at=None if ttl is None else now + ttl,
        )
        token = tokens.new_token()
        if rules:
            self._rules.change(project, rules)
        self._records.insert(tables.TOKENS, [_pack(made, tokens.digest(token))])
        return made, token

    def list(self, project: str | None = None) -> collections.abc.Iterator[tokens.Token]:
        """Every token that can be used now, or those of one project, oldest first."""
        now = self._clock()
        where = () if project is None else (records.Condition('project', '=', project),)
        after = None
        while True:
            order = (('created_at', False),)
            query = records.Query(where=where, order=order, after=after, limit=_PAGE)
            found = self._records.find(tables.TOKENS, query).records
            for record in found:
                token = _unpack(record)
                if token.expires_at is None or token.expires_at > now:
                    yield token
            if len(found) < _PAGE:
                return
            after = found[-1]['created_at'], found[-1]['id']

    def revoke(self, token_id: str) -> None:
        """Let the token not be used any more; processes notice within `REMEMBERED` seconds.

        :raises NotFound: there is none of this id.
        """
        if not self._records.delete(tables.TOKENS, [records.Condition('id', '=', token_id)], limit=1):
            raise errors.NotFound(description=f'There is no token with the id "{token_id}".')

    def _load(self, digest):
        query = records.Query(where=(records.Condition('digest', '=', digest),), limit=1)
        found = self._records.find(tables.TOKENS, query).records
        return (_unpack(found[0]), found[0]['expires_at']) if found else None


def _pack(token: tokens.Token, digest: str) -> records.Record:
    return {
        'id': token.id,
        'digest': digest,
        'project': token.project,
        'name': token.name,
        'roles': list(token.roles),
        'created_at': token.created_at,
        'expires_at': token.expires_at,
    }


def _unpack(record: records.Record) -> tokens.Token:
    return tokens.Token(
        id=record['id'],
        project=record['project'],
        name=record['name'],
        roles=tuple(record['roles']),
        created_at=record['created_at'],
        expires_at=record['expires_at'],
    )
