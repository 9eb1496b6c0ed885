"""The ports as plainly as they can be written: lists, walked from end to end at every call.

This is the oracle of `machine.py`. The contract suites run on it as on every driver, so that neither
they nor it are believed unproven.
"""

import copy
import functools

from queueservice.model import messages
from queueservice.storage import errors, records, tables
from queueservice.storage import messages as ports


class Driver:
    location = 'model://'
    shared = False

    def __init__(self):
        self.records = RecordStore()
        self.messages = MessageStore(self.records)

    def prepare(self):
        pass

    def ping(self):
        pass

    def close(self):
        pass


class _Life:
    def __init__(self):
        self.messages: list[messages.Message] = []
        self.last = 0  # the highest position ever given
        self.keys: dict[str, tuple[int, float, bytes]] = {}  # key -> (position, until, digest)

    def settle(self, now):
        """Drop what expired, let go of what was claimed or delayed until now."""
        self.messages = [message for message in self.messages if message.expires_at > now]
        for message in self.messages:
            if message.available_at <= now:
                _let_go(message, 0)

    def put(self, draft, now) -> tuple[ports.Appended, messages.Message | None]:
        if draft.key is not None:
            position, until, digest = self.keys.get(draft.key, (0, 0, b''))
            if until > now:
                if digest != draft.key_digest:
                    raise errors.KeyReused
                return ports.Appended(position, repeated=True), None
            if draft.key_until > now:
                self.keys[draft.key] = (self.last + 1, draft.key_until, draft.key_digest)
        self.last += 1
        message = messages.Message(
            position=self.last,
            body=draft.body,
            client=draft.client,
            created_at=now,
            expires_at=draft.expires_at,
            available_at=draft.available_at if draft.available_at > now else 0,
            claim_id=None,
            claim_ttl=0,
            claim_count=draft.claim_count,
            checksum=draft.checksum,
            state=draft.state,
        )
        self.messages.append(message)
        return ports.Appended(self.last), message

    def held(self, claim_id) -> list[messages.Message]:
        return [message for message in self.messages if message.claim_id == claim_id]


def _let_go(message, available_at):
    message.claim_id, message.claim_ttl, message.available_at = None, 0, available_at


def _hold(message, claim_id, ttl, until):
    message.claim_id, message.claim_ttl, message.available_at = claim_id, ttl, until


def _is_free(message):
    return message.available_at == 0


class MessageStore:
    def __init__(self, store: 'RecordStore'):
        self._records = store
        self._lives: dict[str, _Life] = {}  # queue id -> its life

    def _life(self, queue, now, current=False) -> _Life:
        row = self._records.get(tables.QUEUES, queue.id)
        if row is None or (current and row['revision'] != queue.revision):
            raise errors.Stale
        life = self._lives.setdefault(queue.id, _Life())
        life.settle(now)
        return life

    def append(self, queue, drafts, now, *, derive=None):
        before = copy.deepcopy(self._lives)
        try:
            life = self._life(queue, now, current=True)
            put = [life.put(draft, now) for draft in drafts]
            stored = [copy.copy(message) for _, message in put if message is not None]
            if derive is not None and stored:
                for other, derived in derive(stored):
                    life = self._life(other, now, current=True)
                    for draft in derived:
                        life.put(draft, now)
        except BaseException:
            self._lives = before
            raise
        return [answer for answer, _ in put]

    def select(self, queue, selection, now):
        life = self._life(queue, now)
        if selection.positions is not None:
            found = [message for message in life.messages if message.position in selection.positions]
        elif selection.claim_id is not None:
            found = life.held(selection.claim_id)
        elif selection.keys is not None:
            places = [life.keys[key][0] for key in selection.keys if key in life.keys]
            found = [message for message in life.messages if message.position in places]
        else:
            return self._list(life, selection)
        return ports.Page(copy.deepcopy(found), reached=found[-1].position if found else selection.after)

    def _list(self, life, selection):
        shown, passed = [], 0
        for message in life.messages:
            if message.position <= selection.after:
                continue
            if len(shown) == selection.limit:
                break
            if (
                message.client != selection.not_from
                and (selection.include_claimed or message.claim_id is None)
                and (selection.include_delayed or message.claim_id is not None or _is_free(message))
            ):
                shown.append(copy.copy(message))
            else:
                passed += 1
            if passed == ports.SCAN_BUDGET:
                return ports.Page(shown, reached=message.position)
        return ports.Page(shown, reached=shown[-1].position if shown else selection.after)

    def claim(self, queue, claim, limit, now, *, keep_until, max_claims=None, in_flight=None, take=False):
        life = self._life(queue, now, current=True)
        leased, dead = self._choose(life, limit, max_claims, in_flight)
        if not leased and not dead:
            return ports.Claimed([], [], next_at=self._next_at(life, limit, max_claims, in_flight))
        for message in leased:
            message.claim_count += 1
            message.expires_at = max(message.expires_at, keep_until)
            _hold(message, claim.id, claim.ttl, claim.ends_at)
        for message in dead:
            message.expires_at = max(message.expires_at, keep_until)
            _hold(message, claim.id, claim.ttl, now + ports.DEAD_LEASE)
        if take:
            life.messages = [message for message in life.messages if message not in leased]
        return ports.Claimed(copy.deepcopy(leased), copy.deepcopy(dead))

    def _choose(self, life, limit, max_claims, in_flight):
        claimed = sum(message.claim_id is not None for message in life.messages)
        room = limit if in_flight is None else min(limit, in_flight - claimed)
        leased, dead = [], []
        for message in life.messages:
            if not _is_free(message) or len(leased) >= room:
                continue
            if max_claims is None or message.claim_count < max_claims:
                leased.append(message)
            elif len(dead) < ports.DEAD_LIMIT:
                dead.append(message)
        return leased, dead

    def _next_at(self, life, limit, max_claims, in_flight):
        """The first instant at which the same claim would return something if nobody did anything until then."""
        instants = {instant for message in life.messages for instant in (message.available_at, message.expires_at)}
        for instant in sorted(instants - {0}):
            later = copy.deepcopy(life)
            later.settle(instant)
            if any(self._choose(later, limit, max_claims, in_flight)):
                return instant
        return None

    def renew(self, queue, claim_id, changes, now):
        life = self._life(queue, now)
        changed = 0
        for change in changes:
            for message in life.held(claim_id):
                if change.positions is not None and message.position not in change.positions:
                    continue
                if change.ends_at is not None:
                    _hold(message, claim_id, change.ttl, change.ends_at)
                else:
                    _let_go(message, change.available_at if change.available_at > now else 0)
                message.expires_at = max(message.expires_at, change.keep_until)
                if change.state is not None:
                    message.state = change.state
                changed += 1
        return changed

    def delete(self, queue, positions, now, *, claim_ids=(), unclaimed=True, all_or_none=False):
        life = self._life(queue, now)
        deleted, refused = [], []
        for message in life.messages:
            if message.position in positions:
                may = unclaimed if message.claim_id is None else message.claim_id in claim_ids
                (deleted if may else refused).append(message.position)
        if all_or_none and refused:
            deleted = []
        life.messages = [message for message in life.messages if message.position not in deleted]
        return ports.Deleted(deleted, refused)

    def clear(self, queue, now):
        self._life(queue, now).messages = []

    def stats(self, queue, now):
        return _count(self._life(queue, now).messages)

    def usage(self, namespace, project, now):
        owned = records.Condition('namespace', '=', namespace), records.Condition('project', '=', project)
        rows = self._records.find(tables.QUEUES, records.Query(where=owned, limit=1_000_000)).records
        usage = ports.Usage(queues=len(rows))
        for row in rows:
            stats = _count(self._lives.get(row['id'], _Life()).messages)
            usage.messages += stats.total
            usage.claimed += stats.claimed
            usage.delayed += stats.delayed
            usage.bytes += stats.bytes
        return usage

    def sweep(self, now, limit):
        before = self._size()
        for queue_id, life in list(self._lives.items()):
            life.settle(now)
            there = {message.position for message in life.messages}
            life.keys = {key: kept for key, kept in life.keys.items() if kept[1] > now or kept[0] in there}
            if self._records.get(tables.QUEUES, queue_id) is None:
                del self._lives[queue_id]
        return min(before - self._size(), limit - 1)

    def _size(self):
        return sum(1 + len(life.messages) + len(life.keys) for life in self._lives.values())


def _count(stored) -> ports.Stats:
    claimed = sum(message.claim_id is not None for message in stored)
    free = sum(_is_free(message) for message in stored)
    return ports.Stats(
        free=free,
        claimed=claimed,
        delayed=len(stored) - claimed - free,
        bytes=sum(len(message.body) for message in stored),
        oldest=(stored[0].position, stored[0].created_at) if stored else None,
        newest=(stored[-1].position, stored[-1].created_at) if stored else None,
    )


class RecordStore:
    def __init__(self):
        self._rows: dict[str, list[records.Record]] = {}  # table name -> its rows

    def get(self, table, *key):
        for row in self._rows.setdefault(table.name, []):
            if _values(row, table.key) == key:
                return row
        return None

    def insert(self, table, given):
        answers = []
        for record in given:
            if self.get(table, *_values(record, table.key)) or self._is_taken(table, record):
                answers.append(errors.Duplicate())
            else:
                self._rows[table.name].append({**copy.deepcopy(record), 'revision': 1})
                answers.append(copy.deepcopy(self._rows[table.name][-1]))
        return answers

    def replace(self, table, given):
        answers = []
        for record in given:
            row = self.get(table, *_values(record, table.key))
            if row is None or row['revision'] != record['revision']:
                answers.append(errors.Stale())
            elif self._is_taken(table, record):
                answers.append(errors.Duplicate())
            else:
                row.update(copy.deepcopy(record), revision=record['revision'] + 1)
                answers.append(copy.deepcopy(row))
        return answers

    def _is_taken(self, table, record):
        key = _values(record, table.key)
        others = [row for row in self._rows[table.name] if _values(row, table.key) != key]
        return any(
            None not in _values(record, unique)
            and any(_values(row, unique) == _values(record, unique) for row in others)
            for unique in table.unique
        )

    def find(self, table, query):
        order = _complete(table, query.order)
        names = [name for name, _ in order]
        rows = self._matching(
            table, [condition for condition in query.where if not _is_searched(condition)], query.order
        )
        if query.after is not None:
            place = dict(zip(reversed(names), reversed(query.after), strict=True))
            rows = [row for row in rows if _compare(order, row, place) > 0]
        searched = [condition for condition in query.where if _is_searched(condition)]
        looked_at = rows[: query.budget] if searched and query.budget is not None else rows
        matches = [row for row in looked_at if _holds(row, searched)]
        found = matches[query.offset : query.offset + query.limit]
        reached = _values(looked_at[-1], names) if len(looked_at) < len(rows) and len(found) < query.limit else None
        fields = {*(table.fields if query.fields is None else query.fields), *table.key, 'revision'}
        return records.Found([{field: copy.copy(row[field]) for field in fields} for row in found], reached)

    def count(self, table, where, cap):
        return min(cap, len(self._matching(table, where)))

    def delete(self, table, where, *, order=(), limit):
        gone = self._matching(table, where, order)[:limit]
        self._rows[table.name] = [row for row in self._rows[table.name] if row not in gone]
        return len(gone)

    def _matching(self, table, where, order=()):
        rows = [row for row in self._rows.setdefault(table.name, []) if _holds(row, where)]
        return sorted(rows, key=functools.cmp_to_key(functools.partial(_compare, _complete(table, order))))


def _complete(table, order):
    return (*order, *((field, False) for field in table.key))


def _values(record, fields):
    return tuple(record[field] for field in fields)


def _is_searched(condition) -> bool:
    return condition.op in ('contains', 'has')


def _holds(row, where) -> bool:
    return all(_is_so(row[field], op, value) for field, op, value in where)


def _is_so(stored, op, value) -> bool:
    if op == '=':
        return stored == value
    if op == 'in':
        return stored in list(value)
    if stored is None or value is None:
        return False
    if op == 'prefix':
        return stored.startswith(value)
    if op in ('contains', 'has'):
        return value in stored
    return {'<': stored < value, '<=': stored <= value, '>': stored > value, '>=': stored >= value}[op]


def _compare(order, row, other) -> int:
    """Below, at or above 0 where `row` stands before, with or behind `other`. None stands before all values."""
    for field, descending in order:
        left, right = row[field], other[field]
        if left != right:
            before = right is not None and (left is None or left < right)
            return 1 if before == descending else -1
    return 0
