"""Records in SQLite: a table is a table, a field a column.

Identifiers in statements come from `storage.tables` alone; values are always bound.
"""

# ruff: noqa: S608 - see above

import itertools
import sqlite3

import msgspec

from queueservice.storage import errors, records, tables

#: How many records one statement replaces: SQLite takes 32 766 values at a time.
_ROWS = 200


class RecordStore:
    def __init__(self, database):
        self._database = database

    def insert(self, table, given):
        return self._database.write(_insert, table, given)

    def replace(self, table, given):
        # What the transaction need not wait for is done before and after it.
        rows = [[*_encode(table, record), record['revision'] + 1] for record in given]
        refused = self._database.write(_replace, table, rows)
        return [
            _decode_all(table, row) if answer is None else answer for row, answer in zip(rows, refused, strict=True)
        ]

    def find(self, table, query):
        return self._database.read(_find, table, query)

    def count(self, table, where, cap):
        return self._database.read(_count, table, where, cap)

    def delete(self, table, where, *, order=(), limit):
        return self._database.write(_delete, table, where, order, limit)


def sweep(connection, now, limit):
    """Drop records past their time from all tables; say how many."""
    done = 0
    for table in tables.ALL:
        if table.expires:
            where = [records.Condition(table.expires, '<=', now)]
            done += _delete(connection, table, where, ((table.expires, False),), limit - done)
    return done


def _insert(connection, table, given):
    columns = [*table.fields, 'revision']
    marks = ', '.join('?' * len(columns))
    statement = f'INSERT INTO "{table.name}" ({_names(columns)}) VALUES ({marks}) ON CONFLICT DO NOTHING'
    answers = []
    for record in given:
        values = [*_encode(table, record), 1]
        inserted = connection.execute(statement, values).rowcount
        answers.append(_decode(table, columns, values) if inserted else errors.Duplicate())
    return answers


def _replace(connection, table, rows):
    """Replace records by rows of all fields and of the next revision; return for each why it was not, or None."""
    refused = _replace_together(connection, table, rows) if len(rows) > 1 else None
    return refused or [_replace_one(connection, table, row) for row in rows]


def _replace_one(connection, table, row):
    columns = [*table.fields, 'revision']
    sets = ', '.join(f'"{column}" = ?' for column in columns)
    where = ' AND '.join(f'"{column}" = ?' for column in (*table.key, 'revision'))
    try:
        replaced = connection.execute(
            f'UPDATE "{table.name}" SET {sets} WHERE {where}', (*row, *_key(table, columns, row), row[-1] - 1)
        ).rowcount
    except sqlite3.IntegrityError:
        return errors.Duplicate()
    return None if replaced else errors.Stale()


def _replace_together(connection, table, rows):
    """As `_replace`, by few statements; None if it has to be done one by one.

    Each statement waits for the interpreter's lock. And only those columns are set in which anything changes: for each
    of the others SQLite would write indexes anew.
    """
    columns = [*table.fields, 'revision']
    keys = [_key(table, columns, row) for row in rows]
    if len(set(keys)) < len(keys):
        return None  # the second is to find the first done
    stored = _find_by_keys(connection, table, columns, keys)
    fresh, changed = {}, {len(columns) - 1}
    for key, row in zip(keys, rows, strict=True):
        before = stored.get(key)
        if before is not None and before[-1] == row[-1] - 1:
            fresh[key] = row
            changed |= {index for index, old in enumerate(before) if old != row[index]}
    changed = [columns[index] for index in sorted(changed)]
    if any(column in unique for unique in table.unique for column in changed):
        return None  # one may take what the other has left
    places = [columns.index(column) for column in changed]
    names = _names([*(f'key {field}' for field in table.key), *changed])
    sets = ', '.join(f'"{column}" = given."{column}"' for column in changed)
    where = ' AND '.join(f'"{table.name}"."{field}" = "key {field}"' for field in table.key)
    values = [(*key, *(row[place] for place in places)) for key, row in fresh.items()]
    for start in range(0, len(values), _ROWS):
        some = values[start : start + _ROWS]
        connection.execute(
            f'WITH given({names}) AS (VALUES {_marks(some)}) UPDATE "{table.name}" SET {sets} FROM given WHERE {where}',
            tuple(itertools.chain.from_iterable(some)),
        )
    return [None if key in fresh else errors.Stale() for key in keys]


def _find_by_keys(connection, table, columns, keys):
    """Rows of these columns, by key."""
    found = {}
    for start in range(0, len(keys), _ROWS):
        some = keys[start : start + _ROWS]
        rows = connection.execute(
            f'WITH wanted({_names(table.key)}) AS (VALUES {_marks(some)}) '
            f'SELECT {_names(columns)} FROM wanted CROSS JOIN "{table.name}" USING ({_names(table.key)})',
            tuple(itertools.chain.from_iterable(some)),
        ).fetchall()
        found |= {_key(table, columns, row): row for row in rows}
    return found


def _marks(rows):
    return ', '.join([f'({", ".join("?" * len(rows[0]))})'] * len(rows))


def _key(table, columns, row):
    return tuple(row[columns.index(field)] for field in table.key)


def _find(connection, table, query):
    connection.execute('BEGIN')
    # What a budget is for is tested one by one, on what the other conditions choose.
    slow = [test for test in query.where if query.budget is not None and test.op in ('contains', 'has')]
    quick = [test for test in query.where if test not in slow]
    order = _complete(table, query.order)
    asked = [field for field in table.fields if query.fields is None or field in query.fields or field in table.key]
    fields = list(dict.fromkeys([*asked, *order, *(test.field for test in slow), 'revision']))
    chosen, values = _choose(table, quick, order, query, fields)
    found, more = chosen, []
    if slow:
        tests, more = _where(table, slow)
        found, more = f'SELECT * FROM ({chosen} LIMIT ?) WHERE {tests}', [query.budget, *more]
    rows = connection.execute(f'{found} LIMIT ? OFFSET ?', (*values, *more, query.limit, query.offset)).fetchall()
    reached = None
    if slow and len(rows) < query.limit:
        ends = connection.execute(f'{chosen} LIMIT 2 OFFSET ?', (*values, query.budget - 1)).fetchall()
        if len(ends) == 2:
            last = _decode(table, fields, ends[0])
            reached = tuple(last[field] for field in (*(field for field, _ in query.order), *table.key))
    asked.append('revision')
    found = [_decode(table, fields, row) for row in rows]
    return records.Found([{field: record[field] for field in asked} for record in found], reached)


def _count(connection, table, where, cap):
    tests, values = _where(table, where)
    return connection.execute(
        f'SELECT count(*) FROM (SELECT 1 FROM "{table.name}" WHERE {tests} LIMIT ?)', (*values, cap)
    ).fetchone()[0]


def _delete(connection, table, where, order, limit):
    tests, values = _where(table, where)
    return connection.execute(
        f'DELETE FROM "{table.name}" WHERE rowid IN (SELECT rowid FROM "{table.name}" WHERE {tests} '
        f'ORDER BY {_order_by(_complete(table, order))} LIMIT ?)',
        (*values, limit),
    ).rowcount


def _choose(table, where, order, query, fields):
    """The statement, but for its limit, that chooses records in their order, and its values."""
    tests, values = _where(table, where)
    places = [('1', [])]
    if query.after is not None:
        names = [field for field, _ in query.order] + list(table.key)
        place = dict(zip(reversed(names), reversed(query.after), strict=True))  # the first of a name counts
        places = _behind(table, order, place)
        first = next(iter(order))
        if any(test.field == first and test.op in ('<', '<=', '>', '>=') for test in query.where):
            del places[1:]  # None is not ordered: SQLite would look through all the others for it
    parts, bound = [], []
    for test, more in places:
        parts.append(f'SELECT {_names(fields)} FROM "{table.name}" WHERE {tests} AND {test}')
        bound += [*values, *more]
    return f'{" UNION ALL ".join(parts)} ORDER BY {_order_by(order)}', bound


def _behind(table, order, place):
    """Tests for what stands behind `place`, each with its values; together they choose a record once.

    The first field has a test of its own wherever there can be one, as it is this that an index serves.
    None stands in front of all values.
    """
    alternatives, values, equal, known = [], [], [], []
    for field, descending in order.items():
        value = _encode_value(table, field, place[field])
        if value is not None:
            beyond = f'("{field}" < ? OR "{field}" IS NULL)' if descending else f'"{field}" > ?'
        else:
            beyond = '0' if descending else f'"{field}" IS NOT NULL'
        alternatives.append(' AND '.join([*equal, beyond]))
        values += known if value is None else [*known, value]
        equal.append(f'"{field}" IS ?')
        known.append(value)
    test = f'({" OR ".join(alternatives)})'
    field, descending = next(iter(order.items()))
    first = known[0]
    if first is None:
        return [(test, values)]
    if descending:
        return [(f'"{field}" <= ? AND {test}', [first, *values]), (f'"{field}" IS NULL', [])]
    return [(f'"{field}" >= ? AND {test}', [first, *values])]


def _where(table, where):
    """SQL for all of the conditions, and its values."""
    tests, values = ['1'], []
    for condition in where:
        test, more = _test(table, *condition)
        tests.append(test)
        values += more
    return ' AND '.join(tests), values


def _test(table, field, op, value):
    column = f'"{field}"'
    if op == 'in':
        value = list(value)
        given = [_encode_value(table, field, part) for part in value if part is not None]
        test = f'{column} IN ({", ".join("?" * len(given))})'
        return (f'({test} OR {column} IS NULL)' if None in value else test), given
    if value is None:
        return (f'{column} IS NULL' if op == '=' else '0'), []
    if op == 'has':
        return f'instr({column}, ?)', [_encode_element(value)]
    if op == 'contains':
        return f'instr({column}, ?)', [value]
    if op == 'prefix':
        end = records.behind_prefix(value)
        return (f'{column} >= ? AND {column} < ?', [value, end]) if end else (f'{column} >= ?', [value])
    return f'{column} {op} ?', [_encode_value(table, field, value)]


def _complete(table, order):
    """{field: descending} of `order` and of the key behind it."""
    completed = dict(order)
    for field in table.key:
        completed.setdefault(field, False)
    return completed


def _order_by(order):
    return ', '.join(f'"{field}" DESC' if descending else f'"{field}"' for field, descending in order.items())


def _names(fields):
    return ', '.join(f'"{field}"' for field in fields)


# Values


def _encode(table, record):
    return [
        _encode_value(table, field, record[field]) if kind is list else record[field]
        for field, kind in table.fields.items()
    ]


def _encode_value(table, field, value):
    if value is None or table.fields.get(field) is not list:
        return value
    # JSON with each element between line feeds, which JSON escapes within texts: so an element is easily found.
    return f'[{",".join(map(_encode_element, value))}]'


def _encode_element(text):
    return f'\n{msgspec.json.encode(text).decode()}\n'


def _decode(table, fields, row):
    record = dict(zip(fields, row, strict=True))
    for field, kind in table.fields.items():
        if kind is bool or kind is list:
            value = record.get(field)
            if value is not None:
                record[field] = bool(value) if kind is bool else msgspec.json.decode(value)
    return record


def _decode_all(table, row):
    """The record of a row of all fields."""
    return _decode(table, [*table.fields, 'revision'], row)
