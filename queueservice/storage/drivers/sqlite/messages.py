"""Queues of messages in SQLite.

The head of a queue (schema.py) gives out positions and keeps count; whoever changes messages brings it up to date in
the same transaction. Its `due_at` says until when nothing expires or lapses by itself, so that most calls
need not look for such messages.

Statements are few and large: each one gives up the interpreter lock, and must wait to get it back.
"""

# ruff: noqa: S608 - statements are put together of what stands in this module; values are bound

import functools
import itertools
import typing

from queueservice.model import messages
from queueservice.storage import errors
from queueservice.storage import messages as ports
from queueservice.storage.drivers.sqlite import records, schema

#: How many messages one transaction frees or lets go beside what it is there for: a few milliseconds' worth.
SLICE = 500
#: For how many such slices a claim waits, where very many messages lapsed, before it takes what there is.
PATIENCE = 20
#: How many lapsed messages a list seeks out one by one; if there are more, it looks at all messages.
LAPSED_LIMIT = 1000
#: How many rows one statement inserts.
ROWS = 100
#: Bodies longer than this, in bytes, have a table of their own, so that a claim need not write them again.
LONG_BODY = 1536
#: More than there can be of anything.
MANY = 2**62

HEAD = 'life, position, messages, claimed, delayed, bytes, due_at'
COMPUTED = {
    'position': 'messages.id - messages.life',
    'body': 'coalesce(body, (SELECT body FROM bodies WHERE id = messages.id))',
}
COLUMNS = ', '.join(COMPUTED.get(field, field) for field in messages.Message.__struct_fields__)
STORED = 'id, life, available_at, expires_at, created_at, claim_count, client, checksum, state, size, body'

# Where messages are looked for. SQLite does not know how they lie: without INDEXED BY it would walk over all that is
# claimed, and with the plain column instead of +column it may prefer an index of times to one of names.
# The indexes named here hold all that the conditions ask for.
ALIVE = '+expires_at > ?'
OF_QUEUE = 'heads CROSS JOIN messages WHERE queue_id = ? AND +messages.life = heads.life'
ALL = f'messages WHERE id < ? + {schema.POSITIONS} AND id > ?'
FREE = 'messages INDEXED BY messages_free WHERE life = ? AND available_at = 0 AND id > ?'
LAPSED = """messages INDEXED BY messages_free
    WHERE life = ? AND available_at > 0 AND available_at <= ? AND expires_at > ? LIMIT ?"""
EXPIRED = 'messages INDEXED BY messages_expiry WHERE life = ? AND expires_at <= ? ORDER BY expires_at LIMIT ?'

TALLY = """count(*), count(claim_id), count(*) FILTER (WHERE available_at > 0 AND claim_id IS NULL),
    coalesce(sum(size), 0)"""


class Head(typing.NamedTuple):
    life: int
    position: int
    messages: int
    claimed: int
    delayed: int
    bytes: int
    due_at: float | None

    def is_due(self, now: float) -> bool:
        """Whether there may be messages that expired or lapsed and still stand as before."""
        return self.due_at is not None and self.due_at <= now


class Tally(typing.NamedTuple):
    """Counts of messages, as a head keeps them."""

    messages: int = 0
    claimed: int = 0
    delayed: int = 0
    bytes: int = 0


class MessageStore:
    def __init__(self, database):
        self._database = database

    def append(self, queue, drafts, now, *, derive=None):
        size = sum(len(draft.body) for draft in drafts)
        if derive is None and all(draft.key is None for draft in drafts):
            return self._database.write(_append_plain, queue, drafts, now, size=size)
        return self._database.write(_append_and_derive, queue, drafts, now, derive, size=size)

    def select(self, queue, selection, now):
        if selection.positions is not None:
            return self._database.read(_select_positions, queue, selection, now)
        if selection.keys is not None:
            return self._database.read(_select_keys, queue, selection, now)
        if selection.claim_id is not None:
            return self._database.read(_select_claim, queue, selection, now)
        return self._database.read(_list, queue, selection, now)

    def claim(self, queue, claim, limit, now, *, keep_until, max_claims=None, in_flight=None, take=False):
        arguments = queue, claim, limit, now, keep_until, max_claims, in_flight, take
        for _ in range(PATIENCE):
            claimed = self._database.write(_claim, *arguments, True)
            if claimed is not None:
                return claimed
        return self._database.write(_claim, *arguments, False)

    def renew(self, queue, claim_id, changes, now):
        return self._database.write(_renew, queue, claim_id, changes, now)

    def delete(self, queue, positions, now, *, claim_ids=(), unclaimed=True, all_or_none=False):
        return self._database.write(_delete, queue, positions, now, claim_ids, unclaimed, all_or_none)

    def clear(self, queue, now):
        self._database.write(_clear, queue)

    def stats(self, queue, now):
        return self._database.read(_stats, queue, now)

    def usage(self, namespace, project, now):
        return self._database.read(_usage, namespace, project)

    def sweep(self, now, limit):
        done = 0
        while done < limit:
            size = min(SLICE, limit - done)
            swept = self._database.write(_sweep, now, size)
            done += swept
            if swept < size:
                break
        return done


# Append


def _append_plain(connection, queue, drafts, now):
    (outcome,) = _append_together(connection, [(queue, drafts, now)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _append_together(connection, appends):
    """The answers to several appends, (queue, drafts, now) each; Stale where the queue is not the present one."""
    return [
        [ports.Appended(position) for position, _ in outcome] if type(outcome) is list else outcome
        for outcome in _store_together(connection, appends)
    ]


_append_plain.together = _append_together


def _append_and_derive(connection, queue, drafts, now, derive):
    answers, stored = _append(connection, queue, drafts, now)
    if derive is not None and stored:
        for other, derived in derive([messages.store(draft, position, now) for position, draft in stored]):
            _append(connection, other, derived, now)
    return answers


def _append(connection, queue, drafts, now):
    """Append to one queue; return the answers, and the drafts that were stored with their positions."""
    if any(draft.key is not None for draft in drafts):
        answers, new = _recognise(connection, queue, drafts, now)
        return answers, _store(connection, queue, new, now)
    stored = _store(connection, queue, drafts, now)
    return [ports.Appended(position) for position, _ in stored], stored


def _recognise(connection, queue, drafts, now):
    """Tell repetitions from new drafts, and remember the keys of these; return all answers, and the new ones."""
    position = _find_current_head(connection, queue).position
    keys = [draft.key for draft in drafts if draft.key is not None]
    rows = connection.execute(
        'SELECT key, position, digest FROM keys '
        f'WHERE queue_id = ? AND until > ? AND NOT over AND key IN ({_marks(len(keys))})',
        (queue.id, now, *keys),
    ).fetchall()
    known = {key: (first, digest) for key, first, digest in rows}
    answers, new, remembered = [], [], []
    for draft in drafts:
        first, digest = known.get(draft.key, (None, None))
        if first is None:
            position += 1
            answers.append(ports.Appended(position))
            new.append(draft)
            if draft.key is not None and draft.key_until > now:
                known[draft.key] = position, draft.key_digest
                remembered.append((queue.id, draft.key, position, draft.key_digest, draft.key_until))
        elif digest == draft.key_digest:
            answers.append(ports.Appended(first, repeated=True))
        else:
            raise errors.KeyReused
    _insert(connection, 'OR REPLACE INTO keys (queue_id, key, position, digest, until)', remembered)
    return answers, new


def _store(connection, queue, drafts, now):
    """Store drafts behind everything in the queue; return them with their positions."""
    (outcome,) = _store_together(connection, [(queue, drafts, now)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _store_together(connection, appends):
    """Store the drafts of several appends; return for each its drafts with their positions, or Stale.

    Every statement makes the writer wait for the interpreter's lock a few times. So there is one for each queue
    and one for all rows, however many posted.
    """
    outcomes = [errors.Stale()] * len(appends)
    queues = {}
    for index, (queue, _, _) in enumerate(appends):
        queues.setdefault((queue.id, queue.revision), []).append(index)
    rows, long = [], []
    for (queue_id, revision), indexes in queues.items():
        drafts = [(draft, appends[index][2]) for index in indexes for draft in appends[index][1]]
        delays = [draft.available_at for draft, now in drafts if draft.available_at > now]
        size = sum(len(draft.body) for draft, _ in drafts)
        row = connection.execute(
            'UPDATE heads SET position = position + ?, messages = messages + ?, delayed = delayed + ?, '
            f'bytes = bytes + ? WHERE queue_id = ? AND revision = ? RETURNING {HEAD}',
            (len(drafts), len(drafts), len(delays), size, queue_id, revision),
        ).fetchone()
        if row is None:
            continue
        head = Head(*row)
        position = head.position - len(drafts) + 1
        for index in indexes:
            _, own, now = appends[index]
            outcomes[index] = stored = list(enumerate(own, position))
            position += len(own)
            rows += [_as_row(head.life, *each, now) for each in stored]
            long += [(head.life + place, draft.body) for place, draft in stored if len(draft.body) > LONG_BODY]
        if drafts:
            _expect(connection, head, min([*delays, *(draft.expires_at for draft, _ in drafts)]))
    _insert(connection, f'INTO messages ({STORED})', rows)
    _insert(connection, 'INTO bodies (id, body)', long)
    return outcomes


def _as_row(life, position, draft, now):
    available_at = draft.available_at if draft.available_at > now else 0
    times = available_at, draft.expires_at, now
    size = len(draft.body)
    body = draft.body if size <= LONG_BODY else None
    return life + position, life, *times, draft.claim_count, draft.client, draft.checksum, draft.state, size, body


def _insert(connection, into, rows):
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        connection.execute(_insertion(into, len(part), len(part[0])), tuple(itertools.chain.from_iterable(part)))


@functools.lru_cache(maxsize=4 * ROWS)
def _insertion(into, rows, width):
    return f'INSERT {into} VALUES ' + ', '.join([f'({_marks(width)})'] * rows)


# Select


def _select_positions(connection, queue, selection, now):
    marks = ', '.join(['heads.life + ?'] * len(selection.positions))
    return _select(connection, queue, selection, now, f'id IN ({marks})', *selection.positions)


def _select_keys(connection, queue, selection, now):
    condition = f"""id IN (
        SELECT heads.life + keys.position FROM keys WHERE keys.queue_id = ? AND key IN ({_marks(len(selection.keys))})
    )"""
    return _select(connection, queue, selection, now, condition, queue.id, *selection.keys)


def _select_claim(connection, queue, selection, now):
    return _select(connection, queue, selection, now, 'claim_id = ? AND +available_at > ?', selection.claim_id, now)


def _select(connection, queue, selection, now, condition, *values):
    rows = connection.execute(
        f'SELECT {COLUMNS} FROM {OF_QUEUE} AND {ALIVE} AND {condition} ORDER BY id', (queue.id, now, *values)
    ).fetchall()
    if not rows:
        _find_head(connection, queue)
    return _page(_read(rows, now), selection)


def _list(connection, queue, selection, now):
    if not selection.include_claimed and not selection.include_delayed:
        found = _list_quickly(connection, queue, selection, now)
        if len(found) == selection.limit:
            return _page(found, selection)
    connection.execute('BEGIN')
    head = _find_head(connection, queue)
    source, lapsed = FREE, []
    if selection.include_claimed or selection.include_delayed:
        source = ALL
    elif head.is_due(now):
        lapsed = connection.execute(f'SELECT id FROM {LAPSED}', (head.life, now, now, LAPSED_LIMIT)).fetchall()
        if len(lapsed) == LAPSED_LIMIT:
            source, lapsed = ALL, []
    found, end = _walk(connection, head, source, selection, now)
    if lapsed:
        ids = [id for (id,) in lapsed if id > head.life + selection.after]
        found += _pick(connection, ids, selection, now)
        found.sort(key=_position)
        if end is not None:
            found = [message for message in found if message.position <= end]
    return _page(found[: selection.limit], selection, end)


def _list_quickly(connection, queue, selection, now):
    """What one statement finds where nothing is due: all of it, if it fills the page."""
    conditions, values = _only_from_others(selection)
    rows = connection.execute(
        f'SELECT {COLUMNS} FROM (SELECT id AS place FROM heads CROSS JOIN messages INDEXED BY messages_free '
        'WHERE queue_id = ? AND coalesce(due_at > ?, 1) AND messages.life = heads.life AND available_at = 0 '
        'AND id > heads.life + ? ORDER BY id LIMIT ?) CROSS JOIN messages '
        f'WHERE id = place {conditions} LIMIT ?',
        (queue.id, now, selection.after, ports.SCAN_BUDGET, *values, selection.limit),
    ).fetchall()
    return _read(rows, now)


def _walk(connection, head, source, selection, now):
    """List messages of `source`; return them, and where the walk ended if it was too long."""
    conditions, values = _only_from_others(selection)
    if source == ALL and not selection.include_claimed:
        conditions += ' AND (claim_id IS NULL OR available_at <= ?)'
        values += (now,)
    if source == ALL and not selection.include_delayed:
        conditions += ' AND (claim_id IS NOT NULL OR available_at <= ?)'
        values += (now,)
    start = head.life, head.life + selection.after
    length = ports.SCAN_BUDGET + selection.limit
    # The places are gone through one by one, and no more of them than it takes.
    rows = connection.execute(
        f'SELECT {COLUMNS} FROM (SELECT id AS place, expires_at AS until FROM {source} ORDER BY id LIMIT ?) '
        f'CROSS JOIN messages WHERE until > ? AND id = place {conditions} LIMIT ?',
        (*start, length, now, *values, selection.limit),
    ).fetchall()
    end = None
    if len(rows) < selection.limit and head.messages > length:
        ends = connection.execute(
            f'SELECT id - life FROM {source} ORDER BY id LIMIT 2 OFFSET ?', (*start, length - 1)
        ).fetchall()
        if len(ends) == 2:
            [(end,), _] = ends
    return _read(rows, now), end


def _pick(connection, ids, selection, now):
    """Those of the messages with `ids` that a list may show."""
    conditions, values = _only_from_others(selection)
    rows = connection.execute(
        f'SELECT {COLUMNS} FROM messages WHERE {ALIVE} AND id IN ({_marks(len(ids))}) {conditions}',
        (now, *ids, *values),
    ).fetchall()
    return _read(rows, now)


def _only_from_others(selection):
    return ('', ()) if selection.not_from is None else ('AND client <> ?', (selection.not_from,))


def _page(found, selection, end=None):
    """:param end: where a walk ended early."""
    if end is None or len(found) == selection.limit:
        end = found[-1].position if found else selection.after
    return ports.Page(found, reached=end)


# Claim


def _claim(connection, queue, claim, limit, now, keep_until, max_claims, in_flight, take, is_patient):
    """Claim; return None if there is patience and more messages had lapsed than could be let go at once."""
    head = _find_current_head(connection, queue)
    if head.is_due(now):
        lapsed = _settle(connection, head, now, SLICE).lapsed
        if lapsed == SLICE and is_patient:
            return None
        head = _find_head(connection, queue)
    room = limit
    if in_flight is not None:
        room = min(limit, in_flight - _count_claimed(connection, head, now))
    leased, dead = [], []
    if room > 0:
        most = MANY if max_claims is None else max_claims - 1
        leased = _choose(connection, head, now, head.position, 0, most, room)
        if max_claims is not None:
            # Only those that were passed on the way: to look for others might mean to look through the queue.
            last = leased[-1].position if len(leased) == room else head.position
            dead = _choose(connection, head, now, last, max_claims, MANY, ports.DEAD_LIMIT)
    if not leased and not dead:
        instants = [_find_next(connection, head, now)]
        if room <= 0:
            instants.append(_find_next_expiry(connection, head, now))
        return ports.Claimed([], [], next_at=min(filter(None, instants), default=None))
    if take:
        _remove(connection, head, leased)
        _hold(leased, claim, claim.ends_at, 1, keep_until)
    else:
        _lease(connection, head, leased, claim, claim.ends_at, 1, keep_until)
    _lease(connection, head, dead, claim, now + ports.DEAD_LEASE, 0, keep_until)
    return ports.Claimed(leased, dead)


def _choose(connection, head, now, last, least, most, limit):
    """The oldest free messages up to position `last` that were claimed at least `least` and at most `most` times."""
    rows = connection.execute(
        f'SELECT {COLUMNS} FROM (SELECT id AS place FROM {FREE} '
        'AND id <= ? AND expires_at > ? AND claim_count BETWEEN ? AND ? ORDER BY id LIMIT ?) '
        'CROSS JOIN messages WHERE id = place',
        (head.life, head.life, head.life + last, now, least, most, limit),
    ).fetchall()
    return _read(rows, now)


def _lease(connection, head, found, claim, until, count, keep_until):
    """Give messages to `claim`, in the store and in hand, and raise their claim_count by `count`."""
    if not found:
        return
    ids = [head.life + message.position for message in found]
    connection.execute(
        'UPDATE messages SET claim_id = ?, claim_ttl = ?, available_at = ?, claim_count = claim_count + ? '
        f'WHERE id IN ({_marks(len(ids))})',
        (claim.id, claim.ttl, until, count, *ids),
    )
    # Mostly none; and to set what stays the same would cost as much as to change it.
    short = [head.life + message.position for message in found if message.expires_at < keep_until]
    if short:
        connection.execute(
            f'UPDATE messages SET expires_at = ? WHERE id IN ({_marks(len(short))})', (keep_until, *short)
        )
    _count(connection, head.life, Tally(claimed=len(found)))
    _expect(connection, head, until)
    _hold(found, claim, until, count, keep_until)


def _hold(found, claim, until, count, keep_until):
    for message in found:
        message.claim_id, message.claim_ttl, message.available_at = claim.id, claim.ttl, until
        message.claim_count += count
        message.expires_at = max(message.expires_at, keep_until)


def _remove(connection, head, found):
    """Delete free messages."""
    if found:
        size = sum(len(message.body) for message in found)
        _erase(connection, size, _marks(len(found)), *(head.life + message.position for message in found))
        _count(connection, head.life, Tally(-len(found), 0, 0, -size))


def _count_claimed(connection, head, now):
    """How many messages are claimed; too many, if very many of them expired or lapsed lately."""
    if not head.is_due(now):
        return head.claimed
    expired = _tally_expired(connection, head, now, 10 * SLICE)
    lapsed = _tally_lapsed(connection, head, now, 10 * SLICE)
    return head.claimed - expired.claimed - lapsed.claimed


def _find_next(connection, head, now):
    """When the next claim or delay ends."""
    return connection.execute(
        'SELECT min(available_at) FROM messages INDEXED BY messages_free WHERE life = ? AND available_at > ?',
        (head.life, now),
    ).fetchone()[0]


def _find_next_expiry(connection, head, now):
    """When the next message expires."""
    return connection.execute(
        'SELECT min(expires_at) FROM messages INDEXED BY messages_expiry WHERE life = ? AND expires_at > ?',
        (head.life, now),
    ).fetchone()[0]


# Renew, delete, clear


def _renew(connection, queue, claim_id, changes, now):
    changed = 0
    for change in changes:
        changed += _change(connection, _find_head(connection, queue), claim_id, change, now)
    if not changes:
        _find_head(connection, queue)
    return changed


def _change(connection, head, claim_id, change, now):
    if change.ends_at is None:
        available_at = change.available_at if change.available_at > now else 0
        sets, values = 'claim_id = NULL, claim_ttl = 0, available_at = ?', [available_at]
    else:
        available_at = change.ends_at
        sets, values = 'claim_ttl = ?, available_at = ?', [change.ttl, available_at]
    if change.keep_until:
        sets += ', expires_at = max(expires_at, ?)'
        values.append(change.keep_until)
    if change.state is not None:
        sets += ', state = ?'
        values.append(change.state)
    where, place = '', ()
    if change.positions is not None:
        where = f'AND id IN ({_marks(len(change.positions))})'
        place = [head.life + position for position in change.positions]
    changed = connection.execute(
        f'UPDATE messages SET {sets} WHERE claim_id = ? AND +life = ? AND +available_at > ? AND {ALIVE} {where}',
        (*values, claim_id, head.life, now, now, *place),
    ).rowcount
    if changed:
        released = changed if change.ends_at is None else 0
        delayed = released if available_at else 0
        _count(connection, head.life, Tally(0, -released, delayed))
        if available_at:
            _expect(connection, head, available_at)
    return changed


def _delete(connection, queue, positions, now, claim_ids, unclaimed, all_or_none):
    rows = connection.execute(
        f'SELECT id, messages.life, available_at, claim_id, size FROM {OF_QUEUE} '
        f'AND {ALIVE} AND id IN ({", ".join(["heads.life + ?"] * len(positions))}) ORDER BY id',
        (queue.id, now, *positions),
    ).fetchall()
    if not rows:
        _find_head(connection, queue)
    deleted, refused = [], []
    claimed = delayed = total = 0
    for id, life, available_at, claim_id, size in rows:
        is_held = claim_id is not None and available_at > now
        if claim_id in claim_ids if is_held else unclaimed:
            deleted.append(id - life)
            claimed += claim_id is not None
            delayed += claim_id is None and available_at > 0
            total += size
        else:
            refused.append(id - life)
    if all_or_none and refused:
        deleted = []
    if deleted:
        _erase(connection, total, _marks(len(deleted)), *(life + position for position in deleted))
        _count(connection, life, Tally(-len(deleted), -claimed, -delayed, -total))
    return ports.Deleted(deleted, refused)


def _erase(connection, size, ids, *values):
    """Delete messages and their bodies; say how many.

    :param size: of the bodies together, in bytes.
    :param ids: SQL for a set of ids, with its `values`.
    """
    if size > LONG_BODY:
        connection.execute(f'DELETE FROM bodies WHERE id IN ({ids})', values)
    return connection.execute(f'DELETE FROM messages WHERE id IN ({ids})', values).rowcount


def _clear(connection, queue):
    head = _find_head(connection, queue)
    connection.execute(
        'UPDATE heads SET queue_id = NULL, due_at = NULL, messages = 0, claimed = 0, delayed = 0, bytes = 0 '
        'WHERE life = ?',
        (head.life,),
    )
    connection.execute(
        'INSERT INTO heads (life, queue_id, revision, namespace, project, position) '
        f'SELECT {schema.NEW_LIFE}, ?, revision, namespace, project, position FROM heads WHERE life = ?',
        (queue.id, head.life),
    )


# Stats and usage


def _stats(connection, queue, now):
    connection.execute('BEGIN')
    head = _find_head(connection, queue)
    expired = lapsed = Tally()
    if head.is_due(now):
        expired, lapsed = _tally_expired(connection, head, now, MANY), _tally_lapsed(connection, head, now, MANY)
    claimed = head.claimed - expired.claimed - lapsed.claimed
    delayed = head.delayed - expired.delayed - lapsed.delayed
    free = head.messages - expired.messages - claimed - delayed
    oldest, newest = (
        connection.execute(
            f'SELECT id - life, created_at FROM {ALL} AND {ALIVE} ORDER BY id {direction} LIMIT 1',
            (head.life, head.life, now),
        ).fetchone()
        for direction in ('ASC', 'DESC')
    )
    return ports.Stats(free, claimed, delayed, head.bytes - expired.bytes, oldest, newest)


def _usage(connection, namespace, project):
    row = connection.execute(
        'SELECT queues, messages, claimed, delayed, bytes FROM usages WHERE namespace = ? AND project = ?',
        (namespace, project),
    ).fetchone()
    return ports.Usage(*row) if row is not None else ports.Usage()


# Sweep


def _sweep(connection, now, limit):
    """Free what is gone; about `limit` messages, keys and records."""
    done = 0
    for sweep in (_sweep_due, _sweep_over, _sweep_keys, records.sweep):
        done += sweep(connection, now, limit - done)
        if done >= limit:
            break
    return done


def _sweep_due(connection, now, limit):
    """Settle the queues in which something is due."""
    done = 0
    while done < limit:
        row = connection.execute(
            f'SELECT {HEAD} FROM heads WHERE due_at <= ? ORDER BY due_at LIMIT 1', (now,)
        ).fetchone()
        if row is None:
            break
        settled = _settle(connection, Head(*row), now, limit - done)
        done += max(1, settled.expired + settled.lapsed)  # to look in vain is work too
    return done


def _sweep_over(connection, now, limit):
    """Free the messages of lives that are over, and then their heads."""
    done = 0
    while done < limit:
        row = connection.execute('SELECT life FROM heads WHERE queue_id IS NULL LIMIT 1').fetchone()
        if row is None:
            break
        size = limit - done
        freed = _erase(connection, MANY, f'SELECT id FROM {ALL} ORDER BY id LIMIT ?', *row, *row, size)
        done += freed
        if freed < size:
            connection.execute('DELETE FROM heads WHERE life = ?', row)
            done += 1
    return done


def _sweep_keys(connection, now, limit):
    """Forget keys that are past their time. Those whose messages are still there are kept for these."""
    first = 'WHERE (queue_id, key) IN (SELECT queue_id, key FROM keys WHERE until <= ? ORDER BY until LIMIT ?)'
    kept = connection.execute(
        f"""UPDATE keys SET over = 1, until = ? {first} AND EXISTS (
            SELECT * FROM heads CROSS JOIN messages
            WHERE heads.queue_id = keys.queue_id AND id = heads.life + keys.position AND {ALIVE}
        )""",
        (now + ports.KEY_INTERVAL, now, limit, now),
    ).rowcount
    return kept + connection.execute(f'DELETE FROM keys {first}', (now, limit - kept)).rowcount


class Settled(typing.NamedTuple):
    expired: int
    lapsed: int


def _settle(connection, head, now, limit):
    """Free up to `limit` messages that expired, and make up to `limit` free that lapsed; say how many."""
    expired = _tally_expired(connection, head, now, limit)
    if expired.messages:
        _erase(connection, expired.bytes, f'SELECT id FROM {EXPIRED}', head.life, now, limit)
    lapsed = _tally_lapsed(connection, head, now, limit)
    if lapsed.messages:
        connection.execute(
            'UPDATE messages SET available_at = 0, claim_id = NULL, claim_ttl = 0 '
            f'WHERE id IN (SELECT id FROM {LAPSED})',
            (head.life, now, now, limit),
        )
    claimed, delayed = expired.claimed + lapsed.claimed, expired.delayed + lapsed.delayed
    _count(connection, head.life, Tally(-expired.messages, -claimed, -delayed, -expired.bytes))
    connection.execute(
        """UPDATE heads SET due_at = (SELECT min(instant) FROM (
            SELECT min(expires_at) AS instant FROM messages INDEXED BY messages_expiry WHERE life = ?
            UNION ALL
            SELECT min(available_at) FROM messages INDEXED BY messages_free WHERE life = ? AND available_at > 0
        )) WHERE life = ?""",
        (head.life, head.life, head.life),
    )
    return Settled(expired.messages, lapsed.messages)


def _tally_expired(connection, head, now, limit):
    return Tally(
        *connection.execute(
            f'SELECT {TALLY} FROM (SELECT claim_id, available_at, size FROM {EXPIRED})',
            (head.life, now, limit),
        ).fetchone()
    )


def _tally_lapsed(connection, head, now, limit):
    return Tally(
        *connection.execute(
            f'SELECT {TALLY} FROM (SELECT claim_id, available_at, size FROM {LAPSED})',
            (head.life, now, now, limit),
        ).fetchone()
    )


# Heads and rows


def _find_head(connection, queue):
    row = connection.execute(f'SELECT {HEAD} FROM heads WHERE queue_id = ?', (queue.id,)).fetchone()
    if row is None:
        raise errors.Stale
    return Head(*row)


def _find_current_head(connection, queue):
    row = connection.execute(
        f'SELECT {HEAD} FROM heads WHERE queue_id = ? AND revision = ?', (queue.id, queue.revision)
    ).fetchone()
    if row is None:
        raise errors.Stale
    return Head(*row)


def _count(connection, life, tally):
    """Add `tally` to the counts of a head."""
    connection.execute(
        'UPDATE heads SET messages = messages + ?, claimed = claimed + ?, delayed = delayed + ?, bytes = bytes + ? '
        'WHERE life = ?',
        (*tally, life),
    )


def _expect(connection, head, instant):
    """Note that something expires or lapses at `instant`."""
    if head.due_at is None or instant < head.due_at:
        connection.execute(
            'UPDATE heads SET due_at = min(coalesce(due_at, ?), ?) WHERE life = ?', (instant, instant, head.life)
        )


def _read(rows, now):
    """Make messages of rows: as they stand at `now`."""
    found = [messages.Message(*row) for row in rows]
    for message in found:
        if message.available_at and message.available_at <= now:
            message.available_at, message.claim_id, message.claim_ttl = 0, None, 0
    return found


@functools.cache
def _marks(count):
    return ', '.join('?' * count)


def _position(message):
    return message.position
