"""Records in MongoDB: a table is a collection, a record a document.

A key of one field is the document's `_id`; a key of several is a document of them, and they stand beside it too. What
callers give is only ever compared with: it never becomes an operator, a path, an expression or a regular expression.

The document of a queue is also the head of the queue's messages: that is `head`, which nothing here touches after the
insert.
"""

import datetime

import pymongo
from bson import objectid
from pymongo import errors as pymongo_errors

from queueservice.model import messages
from queueservice.storage import errors, records, tables
from queueservice.storage.drivers.mongodb import database as databases

#: Fields of our own have names that no field of a table has.
#: `Table.expires` as a date: the server drops what is past it.
EXPIRY = 'expiry date'
#: The marks of those replacements that were one of several in a call, the last ones.
REPLACEMENTS = 'last replacements'
#: The head of the messages of a new queue.
HEAD = {'last': 0, 'pending': [], 'floor': 0, 'messages': 0, 'bytes': 0, 'purges': 0}

#: So often may others replace a record until it is known whether a call replaced it.
_MARKS = 5
#: A duplicate key in a unique index. Source: MongoDB's error codes, 11000 DuplicateKey.
_DUPLICATE = 11000
_COMPARISONS = {'<': '$lt', '<=': '$lte', '>': '$gt', '>=': '$gte'}
#: What no record meets.
_NEVER = ('_id', {'$in': []})
#: The last second that is a date for everybody, in the year 9999.
_LAST = 253_402_300_799


class RecordStore:
    def __init__(self, database):
        self._database = database

    @databases.verb
    def insert(self, table, given):
        answers = [_copy(table, record, 1) for record in given]
        if not answers:
            return answers
        documents = [_identify(table, record) | _write(table, record) | {'revision': 1} for record in answers]
        if table.name == tables.QUEUES.name:
            documents = [document | {'head': HEAD} for document in documents]
        try:
            self._collection(table).insert_many(documents, ordered=False)
        except pymongo_errors.BulkWriteError as error:
            for index in _duplicates(error):
                answers[index] = errors.Duplicate()
        return answers

    @databases.verb
    def replace(self, table, given):
        answers = [_copy(table, record, record['revision'] + 1) for record in given]
        if not answers:
            return answers
        marks = [objectid.ObjectId() for _ in answers]
        changes = []
        for record, mark in zip(answers, marks, strict=True):
            change = {'$set': _write(table, record), '$inc': {'revision': 1}}
            if len(answers) > 1:
                change['$push'] = {REPLACEMENTS: {'$each': [mark], '$slice': -_MARKS}}
            changes.append(pymongo.UpdateOne(_identify(table, record) | {'revision': record['revision'] - 1}, change))
        replaced, taken = 0, []
        try:
            replaced = self._collection(table).bulk_write(changes, ordered=False).matched_count
        except pymongo_errors.BulkWriteError as error:
            replaced, taken = error.details['nMatched'], _duplicates(error)
        for index in taken:
            answers[index] = errors.Duplicate()
        if replaced < len(answers) - len(taken):
            stored = self._marked(table, answers, marks) if replaced else set()
            if len(stored) < replaced:
                raise errors.Unavailable('MongoDB did not say which records it replaced, and others went on.')
            for index, mark in enumerate(marks):
                if mark not in stored and index not in taken:
                    answers[index] = errors.Stale()
        return answers

    def _marked(self, table, answers, marks):
        """Those of the marks that records bear: the server says only how many it replaced."""
        ids = [_identify(table, record)['_id'] for record in answers if isinstance(record, dict)]
        marked = self._collection(table).find({'_id': {'$in': ids}, REPLACEMENTS: {'$in': marks}}, {REPLACEMENTS: 1})
        return {mark for document in marked for mark in document[REPLACEMENTS]}.intersection(marks)

    @databases.verb
    def find(self, table, query):
        if query.limit <= 0:
            return records.Found([])
        collection = self._collection(table)
        slow = [test for test in query.where if query.budget is not None and test.op in ('contains', 'has')]
        quick = [test for test in query.where if test not in slow]
        names = (*(field for field, _ in query.order), *table.key)
        order = _complete(table, query.order)
        sort = _sort(table, order)
        chosen = _where(table, quick)
        if query.after is not None:
            chosen += _behind(table, order, _place(names, query.after), quick)
        end = None
        if slow:
            # The place where the budget ends is found first: whatever happens to the records meanwhile, all in front
            # of it are looked at, and none behind.
            fields = dict.fromkeys((stored_as(table, field) for field in order), 1)
            ends = list(collection.find(_combine(chosen), fields).sort(sort).skip(query.budget - 1).limit(2))
            if len(ends) == 2:
                last = _read(table, ends[0], order)
                end = tuple(last[field] for field in names)
                chosen += _up_to(table, order, last, quick)
            chosen += _where(table, slow)
        asked = [field for field in table.fields if query.fields is None or field in query.fields or field in table.key]
        asked.append('revision')
        fields = {'_id': 0} | dict.fromkeys((stored_as(table, field) for field in asked), 1)
        found = collection.find(
            _combine(chosen), fields, sort=sort, skip=query.offset, limit=query.limit, batch_size=query.limit
        )
        found = [_read(table, document, asked) for document in found]
        return records.Found(found, end if len(found) < query.limit else None)

    @databases.verb
    def count(self, table, where, cap):
        if cap <= 0:
            return 0
        return self._collection(table).count_documents(_combine(_where(table, where)), limit=cap)

    @databases.verb
    def delete(self, table, where, *, order=(), limit):
        """One step for each record: what meets the conditions no longer when its turn comes is passed over."""
        chosen = _combine(_where(table, where))
        sort = _sort(table, _complete(table, order))
        deleted = 0
        while deleted < limit:
            wanted = limit - deleted
            found = self._collection(table).find(chosen, {'_id': 1}, sort=sort, limit=wanted, batch_size=wanted)
            ids = [document['_id'] for document in found]
            if ids:
                deleted += self._delete(table, ids, chosen)
            if len(ids) < wanted:
                break
        return deleted

    def _delete(self, table, ids, chosen):
        is_queues = table.name == tables.QUEUES.name
        if is_queues:
            self._dig_graves(ids)
        collection = self._collection(table)
        if len(ids) == 1:  # this one the client repeats if the answer gets lost
            deleted = collection.delete_one({'_id': ids[0], '$and': [chosen]}).deleted_count
        else:
            deleted = collection.delete_many({'_id': {'$in': ids}, '$and': [chosen]}).deleted_count
        if is_queues and deleted:
            left = {document['_id'] for document in collection.find({'_id': {'$in': ids}}, {'_id': 1})}
            self._bury([id for id in ids if id not in left and messages.is_id(id)])
        return deleted

    def _dig_graves(self, ids):
        """Note of queues that their messages are to be swept once the queues are gone."""
        graves = [pymongo.ReplaceOne({'_id': id}, {'due': 0}, upsert=True) for id in ids if messages.is_id(id)]
        if graves:
            try:
                self._database.graves.bulk_write(graves, ordered=False)
            except pymongo_errors.BulkWriteError as error:
                _duplicates(error)  # somebody else dug it at the same moment

    def _bury(self, ids):
        """End the claims of queues that are gone."""
        self._dig_graves(ids)  # anew: a sweep puts off those that it finds while their queues live
        for id in ids:
            self._database.messages.delete_many({'queue': bytes.fromhex(id), 'available': {'$gte': 1}})

    def _collection(self, table):
        return self._database.collection(table.name)


def _duplicates(error):
    """The indexes of those records whose key or unique set was taken; raises `error` if anything else went wrong."""
    problems = error.details['writeErrors']
    if error.details['writeConcernErrors'] or any(problem['code'] != _DUPLICATE for problem in problems):
        raise error
    return [problem['index'] for problem in problems]


# Filters: lists of (name, clause)


def _combine(pairs):
    """One document of all. Clauses stand side by side where they can: so an index serves more of them."""
    filter, others = {}, []
    for name, clause in pairs:
        present = filter.get(name)
        if name not in filter:
            filter[name] = clause
        elif isinstance(present, dict) and isinstance(clause, dict) and not present.keys() & clause.keys():
            filter[name] = present | clause
        else:
            others.append({name: clause})
    if others:
        filter['$and'] = others
    return filter


def _where(table, where):
    return [_test(stored_as(table, field), op, value) for field, op, value in where]


def _test(name, op, value):
    if op == '=':
        return name, _equals(value)
    if op == 'in':
        return name, {'$in': list(value)}
    if value is None:
        return _NEVER
    if op == 'has':
        return name, {'$eq': value}
    if op == 'contains':
        return '$expr', {'$gte': [{'$indexOfBytes': [f'${name}', {'$literal': value}]}, 0]}
    if op == 'prefix':
        end = records.behind_prefix(value)
        return name, {'$gte': value} if end is None else {'$gte': value, '$lt': end}
    return name, {_COMPARISONS[op]: value}


def _equals(value):
    # Scalars mean themselves. Servers find out more easily which index serves them without an operator.
    return value if value is None or isinstance(value, bool | int | float | str | bytes) else {'$eq': value}


def _behind(table, order, place, where):
    """What stands behind `place`, {field: value}, in that order. None stands in front of all values."""
    known = [(test.field, test.value) for test in where if test.op == '=']
    free = {field: descends for field, descends in order.items() if (field, place[field]) not in known}
    alternatives, equal = [], []
    for field, descends in free.items():
        name, value = stored_as(table, field), place[field]
        if value is not None:
            # With "not" None is among what is less.
            beyond = {'$not': {'$gte': value}} if descends else {'$gt': value}
            alternatives.append(_combine([*equal, (name, beyond)]))
        elif not descends:
            alternatives.append(_combine([*equal, (name, {'$ne': None})]))
        equal.append((name, _equals(value)))
    if not alternatives:
        return [_NEVER]
    if len(alternatives) == 1:
        return list(alternatives[0].items())
    pairs = [('$or', alternatives)]
    field, descends = next(iter(free.items()))
    if place[field] is not None:  # an index serves the first field
        pairs.append((stored_as(table, field), {'$not': {'$gt': place[field]}} if descends else {'$gte': place[field]}))
    return pairs


def _up_to(table, order, place, where):
    """What does not stand behind `place` in that order."""
    return [('$nor', [_combine(_behind(table, order, place, where))])]


def _complete(table, order):
    """{field: descending} of `order` and of the key behind it."""
    completed = {}
    for field, descends in (*order, *((field, False) for field in table.key)):
        completed.setdefault(field, descends)
    return completed


def _place(names, values):
    """{field: value}; where a field is named twice the first one counts."""
    return dict(zip(reversed(names), reversed(values), strict=True))


def _sort(table, order):
    return [
        (stored_as(table, field), pymongo.DESCENDING if descends else pymongo.ASCENDING)
        for field, descends in order.items()
    ]


# Documents


def stored_as(table, field):
    """What a field is called in documents."""
    return '_id' if table.key == (field,) else field


def _identify(table, record):
    if len(table.key) == 1:
        return {'_id': record[table.key[0]]}
    return {'_id': {field: record[field] for field in table.key}}


def _copy(table, record, revision):
    """The record as the store answers it: the caller's own."""
    copied = {field: record[field] for field in table.fields}
    for field, value in copied.items():
        if isinstance(value, list):
            copied[field] = value.copy()
    copied['revision'] = revision
    return copied


def _write(table, record):
    """The fields of a document, without its `_id` and revision."""
    document = {field: record[field] for field in table.fields if table.key != (field,)}
    if table.expires is not None:
        at = record[table.expires]
        document[EXPIRY] = None if at is None else datetime.datetime.fromtimestamp(min(at, _LAST), datetime.UTC)
    return document


def _read(table, document, fields):
    record = {}
    for field in fields:
        value = document.get(stored_as(table, field))
        # Integers of 64 bits come as a type of their own.
        record[field] = int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return record
