"""The record port in memory: for each table a dict of records, and a sorted list for each of its orders.

A stored record is never changed, only exchanged for another. So a search takes what it looks at from a
list in slices, and looks at it without holding the lock.
"""

import itertools
import operator
import threading
import typing

import sortedcontainers

from queueservice.storage import errors, records, tables

#: How many records a search takes while the lock is held once: few at first, for most find soon enough.
FIRST_SLICE = 16
SLICE = 256

#: Compares as behind whatever follows in a place.
_BEHIND = 2


def _place(values):
    """Where `values` stand in an order in which None stands before all else: (is there, value) for each."""
    place = []
    for value in values:
        place += (value is not None, value)
    return tuple(place)


# Conditions


def _compare(operate):
    return lambda stored, value: stored is not None and value is not None and operate(stored, value)


_TESTS = {
    '=': operator.eq,
    'in': lambda stored, value: stored in value,
    '<': _compare(operator.lt),
    '<=': _compare(operator.le),
    '>': _compare(operator.gt),
    '>=': _compare(operator.ge),
    'prefix': _compare(str.startswith),
    'contains': _compare(operator.contains),
    'has': _compare(operator.contains),
}

#: The operators that a budget is for.
_SEARCHED = ('contains', 'has')


def _meets(record, where):
    for field, op, value in where:  # noqa: SIM110 - all() takes twice as long
        if not _TESTS[op](record[field], value):
            return False
    return True


def _filter(found, where):
    """Those records that meet the conditions."""
    for field, op, value in where:
        found = _filter_by(found, field, _TESTS[op], frozenset(value) if op == 'in' else value)
    return found


def _filter_by(found, field, test, value):
    return (record for record in found if test(record[field], value))


# Tables


class Index:
    """The places of all records of a table in one order: by some fields, then by the key."""

    def __init__(self, table, fields, unique):
        self.guarded = fields if unique else ()
        self.fields = (*fields, *(field for field in table.key if field not in fields))
        self.places = sortedcontainers.SortedList()
        self._key = operator.itemgetter(*(2 * self.fields.index(field) + 1 for field in table.key))
        self._single = len(table.key) == 1

    def place(self, record):
        return _place([record[field] for field in self.fields])

    def key(self, place):
        return (self._key(place),) if self._single else self._key(place)

    def owner(self, record):
        """The key of the record that has the unique set of `record`; None if nobody has."""
        values = [record[field] for field in self.guarded]
        if not values or None in values:
            return None
        start = _place(values)
        return next((self.key(place) for place in self.places.irange(start, (*start, _BEHIND))), None)


class Rows:
    """The records of one table."""

    def __init__(self, table):
        self.table = table
        self.fields = (*table.fields, 'revision')
        self.lists = [field for field, kind in table.fields.items() if kind is list]
        self.by_key = {}
        expiry = ((table.expires,),) if table.expires else ()
        self.indexes = [
            Index(table, table.key, unique=False),
            *(Index(table, fields, unique=True) for fields in table.unique),
            *(Index(table, fields, unique=False) for fields in (*table.indexes, *expiry)),
        ]

    def key(self, record):
        return tuple([record[field] for field in self.table.key])

    def copy(self, record, fields):
        copied = {field: record[field] for field in fields}
        for field in self.lists:
            if copied.get(field) is not None:
                copied[field] = copied[field].copy()
        return copied

    def is_taken(self, record):
        """Whether another record has one of the unique sets of this one."""
        key = self.key(record)
        return any(index.owner(record) not in (None, key) for index in self.indexes)

    def put(self, record):
        self.by_key[self.key(record)] = record
        for index in self.indexes:
            index.places.add(index.place(record))

    def take(self, record):
        del self.by_key[self.key(record)]
        for index in self.indexes:
            index.places.remove(index.place(record))


class Stretch(typing.NamedTuple):
    """A part of an index in which all records stand that match."""

    index: Index
    lowest: tuple
    highest: tuple  # the first place behind it
    rest: list[records.Condition]  # those conditions that its records need not meet
    #: In the order asked for, places first descend by this long a part of them, then ascend by the rest.
    #: None: it is not in that order.
    descending: int | None


def _choose(rows, where, order, after):
    """The stretch in which the least has to be looked at; `order` is complete, `after` is {field: value}."""
    equal = {}
    for field, op, value in where:
        if op == '=':
            equal.setdefault(field, value)
    stretches = [_stretch(index, where, equal, order, after) for index in rows.indexes]
    return min(stretches, key=lambda stretch: (len(stretch.rest), stretch.descending is None))


def _stretch(index, where, equal, order, after):
    bound = len(list(itertools.takewhile(equal.__contains__, index.fields)))
    prefix = _place([equal[field] for field in index.fields[:bound]])
    lowest, highest = prefix, (*prefix, _BEHIND)
    rest = []
    for condition in where:
        field, op, value = condition
        there = (*prefix, True, value)
        if field in index.fields[:bound] and op == '=' and value == equal[field]:
            continue
        narrows = field in index.fields[bound : bound + 1] and value is not None
        match op if narrows else None:
            case '>=':
                low, high = there, highest
            case '>':
                low, high = (*there, _BEHIND), highest
            case '<':
                low, high = (*prefix, True), there
            case '<=':
                low, high = (*prefix, True), (*there, _BEHIND)
            case 'prefix':
                behind = records.behind_prefix(value)
                low, high = there, highest if behind is None else (*prefix, True, behind)
            case _:
                rest.append(condition)
                continue
        lowest, highest = max(lowest, low), min(highest, high)
    return Stretch(index, lowest, highest, rest, _descending(index, equal, order, after))


def _descending(index, equal, order, after):
    """`Stretch.descending` of a stretch of this index."""
    # What equals one value has no say in the order; but a place to go on from may have another value there.
    free = [(field, descends) for field, descends in order if field not in equal]
    if [field for field, _ in free] != [field for field in index.fields if field not in equal]:
        return None
    if any(after.get(field, value) != value for field, value in equal.items()):
        return None
    down = list(itertools.takewhile(lambda item: item[1], free))
    if any(descends for _, descends in free[len(down) :]):
        return None
    return 2 * (index.fields.index(down[-1][0]) + 1) if down else 0


class RecordStore:
    def __init__(self, messages):
        self.lock = threading.RLock()
        self._messages = messages
        self._tables = {}  # name -> Rows

    def is_used(self):
        """Whether anything was stored or looked for here yet."""
        return bool(self._tables)

    # The port

    def insert(self, table, records):
        answers = []
        with self.lock:
            rows = self._rows(table)
            for record in records:
                if rows.key(record) in rows.by_key or rows.is_taken(record):
                    answers.append(errors.Duplicate())
                    continue
                stored = rows.copy({**record, 'revision': 1}, rows.fields)
                rows.put(stored)
                if table.name == tables.QUEUES.name:
                    self._messages.begin(stored['id'], stored['namespace'], stored['project'], 1)
                answers.append(rows.copy(stored, rows.fields))
        return answers

    def replace(self, table, records):
        answers = []
        with self.lock:
            rows = self._rows(table)
            for record in records:
                old = rows.by_key.get(rows.key(record))
                if old is None or old['revision'] != record['revision']:
                    answers.append(errors.Stale())
                    continue
                if rows.is_taken(record):
                    answers.append(errors.Duplicate())
                    continue
                stored = rows.copy({**record, 'revision': old['revision'] + 1}, rows.fields)
                rows.take(old)
                rows.put(stored)
                if table.name == tables.QUEUES.name:
                    self._messages.revise(stored['id'], stored['revision'])
                answers.append(rows.copy(stored, rows.fields))
        return answers

    def find(self, table, query):
        if query.limit <= 0:
            return records.Found([])
        rows = self._rows(table)
        searched = [condition for condition in query.where if condition.op in _SEARCHED]
        others = [condition for condition in query.where if condition.op not in _SEARCHED]
        fields = rows.fields
        if query.fields is not None:
            fields = dict.fromkeys((*query.fields, *table.key, 'revision'))
        found = []
        looked_at = matches = 0
        last = None
        for record in self._search(rows, others, query.order, query.after):
            if searched:
                if looked_at == query.budget:
                    place = tuple(last[field] for field in (*(field for field, _ in query.order), *table.key))
                    return records.Found(found, place)
                looked_at += 1
                last = record
                if not _meets(record, searched):
                    continue
            matches += 1
            if matches > query.offset:
                found.append(rows.copy(record, fields))
                if len(found) == query.limit:
                    break
        return records.Found(found)

    def count(self, table, where, cap):
        rows = self._rows(table)
        stretch = _choose(rows, where, (), {})
        if not stretch.rest:
            with self.lock:
                places = stretch.index.places
                return min(cap, max(0, places.bisect_left(stretch.highest) - places.bisect_left(stretch.lowest)))
        return sum(1 for _ in itertools.islice(self._search(rows, where, (), None), cap))

    def delete(self, table, where, *, order=(), limit):
        with self.lock:
            rows = self._rows(table)
            gone = list(itertools.islice(self._search(rows, where, order, None), limit))
            for record in gone:
                rows.take(record)
                if table.name == tables.QUEUES.name:
                    self._messages.end(record['id'], record['namespace'], record['project'])
        return len(gone)

    # How records are found

    def _rows(self, table):
        with self.lock:
            rows = self._tables.get(table.name)
            if rows is None:
                rows = self._tables[table.name] = Rows(table)
            return rows

    def _search(self, rows, where, order, after):
        """Yield the records that match, in `order`, from behind the place `after` on."""
        key = rows.table.key
        names = [field for field, _ in order]
        # A field that is named twice counts where it is named first.
        place = {} if after is None else dict(zip(reversed([*names, *key]), reversed(after), strict=True))
        order = [*order, *((field, False) for field in key if field not in names)]
        found = self._named(rows, where)
        if found is None:
            stretch = _choose(rows, where, order, place)
            if stretch.descending is not None:
                walk = self._walk(rows, stretch, where, place)
                yield from _filter(walk, stretch.rest)
                return
            found = self._ascend(rows, stretch.index, stretch.lowest, stretch.highest)
        matching = list(_filter(found, where))
        if place:
            matching = [record for record in matching if _is_behind(record, order, place)]
        for field, descends in reversed(order):
            matching.sort(key=lambda record: _place((record[field],)), reverse=descends)
        yield from matching

    def _named(self, rows, where):
        """The records whose keys the conditions name one by one; None if they name none."""
        named = []
        for field in rows.table.key:
            values = [
                [condition.value] if condition.op == '=' else condition.value
                for condition in where
                if condition.field == field and condition.op in ('=', 'in')
            ]
            if not values:
                return None
            named.append(min(values, key=len))
        keys = dict.fromkeys(itertools.product(*named))
        with self.lock:
            return [rows.by_key[key] for key in keys if key in rows.by_key]

    def _walk(self, rows, stretch, where, after):
        """Yield the records of a stretch, which has the order asked for, from behind `after` on."""
        index, lowest, highest, _, descending = stretch
        if after:
            equal = {condition.field: condition.value for condition in where if condition.op == '='}
            place = _place([after[field] if field in after else equal[field] for field in index.fields])
            group = place[:descending]
            behind = (*place, _BEHIND)
            if not descending:
                lowest = max(lowest, behind)
            else:
                yield from self._ascend(rows, index, max(lowest, behind), min(highest, (*group, _BEHIND)))
                highest = min(highest, group)
        if descending:
            yield from self._descend(rows, index, lowest, highest, descending)
        else:
            yield from self._ascend(rows, index, lowest, highest)

    def _ascend(self, rows, index, lowest, highest):
        size = FIRST_SLICE
        while True:
            with self.lock:
                places = list(itertools.islice(index.places.irange(lowest, highest, (True, False)), size))
                found = [rows.by_key[index.key(place)] for place in places]
            yield from found
            if len(places) < size:
                return
            lowest = (*places[-1], _BEHIND)
            size = min(2 * size, SLICE)

    def _descend(self, rows, index, lowest, highest, width):
        """Yield records by the first `width` parts of their places descending, by the others ascending."""
        size = FIRST_SLICE
        while True:
            with self.lock:
                places = list(itertools.islice(index.places.irange(lowest, highest, (True, False), True), size))
                groups = [list(group)[::-1] for _, group in itertools.groupby(places, lambda place: place[:width])]
                if len(places) == size:
                    cut = groups.pop()[0][:width]  # this group may go on below
                found = [rows.by_key[index.key(place)] for group in groups for place in group]
            yield from found
            if len(places) < size:
                return
            if found:
                highest = (*cut, _BEHIND)
            else:
                yield from self._ascend(rows, index, max(lowest, cut), (*cut, _BEHIND))
                highest = cut
            size = min(2 * size, SLICE)


def _is_behind(record, order, place):
    for field, descends in order:
        left, right = _place((record[field],)), _place((place[field],))
        if left != right:
            return (left > right) != descends
    return False
