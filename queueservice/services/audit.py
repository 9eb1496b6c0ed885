"""The audit log: who did what, for things that somebody may have to answer for.

One line for each, of the logger `queueservice.audit`, written when it is done: for a request that is refused or that
fails there is none.
"""

import collections.abc
import json
import logging

_LOG = logging.getLogger('queueservice.audit')


def record(
    action: str,
    *,
    project: str | None,
    user: str | None,
    roles: collections.abc.Iterable[str] = (),
    **facts,
) -> None:
    """Write that `action` was done.

    :param action: noun and verb, such as "queue.delete".
    :param project: of the caller; None for an operator. A project that something was done to belongs to the facts.
    :param user: who called; None where nobody has to say.
    :param facts: what it was done to, and how: names and numbers, never secrets.
    """
    entry = {'action': action, 'project': project, 'user': user, 'roles': sorted(roles), **facts}
    _LOG.info('%s', json.dumps(entry), extra={'facts': {'audit': entry}})
