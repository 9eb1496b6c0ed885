"""What every record store promises, sentence by sentence of `queueservice.storage.records`."""

import random

from queueservice.storage import base, errors, records, tables
from tests.fixtures import drivers

#: Its names are words of query languages on purpose.
THINGS = records.Table(
    name='things',
    fields={
        'id': str,
        'group': str,
        'order': int,
        'ratio': float,
        'flag': bool,
        'data': bytes,
        'tags': list,
        'name': str,
        'select': str,
    },
    key=('id',),
    unique=(('group', 'name'), ('select',)),
    indexes=(('group', 'order'), ('ratio',)),
)

PLACES = records.Table(
    name='places',
    fields={'shelf': str, 'slot': int, 'label': str},
    key=('shelf', 'slot'),
)

#: Texts in the order of their code points, with what query languages and encodings stumble over.
TEXTS = [
    '',
    '\x00',
    ' ',
    '"',
    '$set',
    '%',
    "'",
    '*',
    '.',
    '?',
    'A',
    'AB',
    'Z',
    '[a-z]',
    '\\',
    '\\%',
    '_',
    'a',
    'a%b',
    'a.b',
    'a_b',
    'ab',
    'a\u0301',
    'a\uffff',
    'b',
    '\u00e1',
    '\ud7ff',
    '\ue000',
    '\ufffd',
    '\U0001f600',
    '\U0010ffff',
    '\U0010ffff\U0010ffff',
]


class RecordStoreContract:
    """Mix it into a `testtools.TestCase` that says how to make a prepared, empty driver."""

    def make_driver(self) -> base.Driver:
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.patch(tables, 'ALL', (*tables.ALL, THINGS, PLACES))
        self.driver = self.make_driver()
        self.addCleanup(self.driver.close)
        self.store = self.driver.records

    # What the tests are told in

    def insert(self, *given, table=THINGS):
        return self.store.insert(table, given)

    def insert_things(self, count, **fields):
        """Things with the ids 000, 001, ...; a field may be a function of the number."""
        return self.insert(
            *(
                thing(
                    f'{number:03}',
                    **{name: value(number) if callable(value) else value for name, value in fields.items()},
                )
                for number in range(count)
            )
        )

    def replace(self, *given, table=THINGS):
        return self.store.replace(table, given)

    def find(self, *where, table=THINGS, **query):
        query.setdefault('limit', 1000)
        return self.store.find(table, records.Query(where=_conditions(where), **query))

    def ids(self, *where, **query):
        return [record['id'] for record in self.find(*where, **query).records]

    def count(self, *where, cap=1000, table=THINGS):
        return self.store.count(table, _conditions(where), cap)

    def delete(self, *where, limit=1000, order=(), table=THINGS):
        return self.store.delete(table, _conditions(where), order=order, limit=limit)

    def visit(self, limit, order=(), where=(), table=THINGS, between=lambda: None, budget=None, offset=0):
        """All records, page by page; `between` is called between the pages."""
        visited, after = [], None
        for _ in range(1000):
            found = self.find(*where, table=table, order=order, after=after, limit=limit, budget=budget)
            visited += found.records
            if found.reached is not None:
                after = found.reached
            elif len(found.records) == limit:
                last = found.records[-1]
                after = tuple(last[field] for field in (*(name for name, _ in order), *table.key))
            else:
                return visited
            between()
        raise AssertionError('the pages never came to an end')

    # Insert

    def test_an_inserted_record_is_answered_and_found_with_its_first_revision(self):
        record = thing('a', group='g', order=7)

        self.assertEqual([{**record, 'revision': 1}], self.insert(record))

        self.assertEqual([{**record, 'revision': 1}], self.find().records)

    def test_inserting_nothing_answers_nothing(self):
        self.assertEqual([], self.insert())

    def test_a_record_whose_key_is_taken_is_a_duplicate_and_the_others_are_stored(self):
        [first] = self.insert(thing('b', order=1))

        answers = self.insert(thing('a'), thing('b', order=2), thing('c'))

        self.assertEqual([1, errors.Duplicate(), 1], [_revision(answer) for answer in answers])
        self.assertEqual(['a', 'b', 'c'], self.ids())
        self.assertEqual([first], self.find(('id', '=', 'b')).records)

    def test_the_second_record_with_a_key_in_one_call_is_a_duplicate(self):
        answers = self.insert(thing('a', order=1), thing('a', order=2))

        self.assertEqual([1, errors.Duplicate()], [_revision(answer) for answer in answers])
        self.assertEqual([1], [record['order'] for record in self.find().records])

    def test_a_record_whose_unique_set_is_taken_is_a_duplicate(self):
        self.insert(thing('a', group='g', name='n'))

        answers = self.insert(
            thing('b', group='g', name='n'), thing('c', group='g', name='m'), thing('d', group='h', name='n')
        )

        self.assertEqual([errors.Duplicate(), 1, 1], [_revision(answer) for answer in answers])
        self.assertEqual(['a', 'c', 'd'], self.ids())

    def test_every_unique_set_is_guarded(self):
        self.insert(thing('a', group='g', name='n', select='s'))

        answers = self.insert(thing('b', select='s'), thing('c', group='g', name='n'), thing('d', select='t'))

        self.assertEqual([errors.Duplicate()] * 2 + [1], [_revision(answer) for answer in answers])

    def test_the_second_record_with_a_unique_set_in_one_call_is_a_duplicate(self):
        answers = self.insert(thing('a', select='s'), thing('b', select='s'))

        self.assertEqual([1, errors.Duplicate()], [_revision(answer) for answer in answers])

    def test_a_unique_set_with_none_in_it_binds_nobody(self):
        answers = self.insert(
            *(thing(f'{number}', group='g') for number in range(3)),
            *(thing(f'{number}', name='n') for number in range(3, 6)),
        )

        self.assertEqual([1] * 6, [_revision(answer) for answer in answers])

    def test_keys_and_unique_sets_are_told_apart_exactly(self):
        answers = self.insert(*(thing(f'id-{text}', select=text) for text in TEXTS))

        self.assertEqual([1] * len(TEXTS), [_revision(answer) for answer in answers])
        for text in TEXTS:
            self.assertEqual([f'id-{text}'], self.ids(('select', '=', text)))
            self.assertEqual([text], [record['select'] for record in self.find(('id', '=', f'id-{text}')).records])

    def test_a_key_of_several_fields_is_taken_by_all_of_them(self):
        answers = self.insert(place('a', 1), place('a', 2), place('b', 1), place('a', 1), table=PLACES)

        self.assertEqual([1, 1, 1, errors.Duplicate()], [_revision(answer) for answer in answers])

    def test_tables_do_not_see_each_other(self):
        self.insert(thing('a'))
        self.insert(place('a', 1), table=PLACES)

        self.assertEqual((1, 1), (self.count(), self.count(table=PLACES)))
        self.assertEqual(1, self.delete())
        self.assertEqual(1, self.count(table=PLACES))

    # Values

    def test_values_of_every_type_come_back_as_they_were(self):
        values = {
            'order': [0, -1, 2**63 - 1, -(2**63), 2**53 + 1, None],
            'ratio': [0.0, 0.1, -1.5, 1e308, 5e-324, 1_700_000_000.123456, 5.0, None],
            'flag': [True, False, None],
            'data': [b'', b'\x00', bytes(range(256)), b"'%_\\", b'x' * 1_000_000, None],
            'tags': [[], [''], ['b', 'a', 'b'], TEXTS, ['["color","red"]', '["a\\"b",1]'], None],
            'name': [*TEXTS, 'x' * 100_000, None],
        }
        for field, examples in values.items():
            for number, value in enumerate(examples):
                [answer] = self.insert(thing(f'{field}-{number}', **{field: value}))
                [found] = self.find(('id', '=', f'{field}-{number}')).records
                for record in (answer, found):
                    self.assertEqual(value, record[field])
                    self.assertIs(type(value), type(record[field]))

    def test_values_of_every_type_are_replaced_and_found_by(self):
        examples = {
            'order': 2**63 - 1,
            'ratio': 0.1,
            'flag': True,
            'data': b'\x00\xff',
            'tags': ['x'],
            'name': '\u00e9',
        }
        [record] = self.insert(thing('a', order=1, ratio=2.0, flag=False, data=b'', tags=[], name=''))
        self.insert(thing('b'))

        [stored] = self.replace({**record, **examples})

        self.assertEqual({**record, **examples, 'revision': 2}, stored)
        for field in set(examples) - {'tags'}:
            self.assertEqual(['a'], self.ids((field, '=', examples[field])))

    def test_records_given_and_answered_are_the_callers_own(self):
        given = thing('a', tags=['one'])
        [answer] = self.insert(given)
        given['tags'].append('two')
        given['name'] = 'spoilt'
        answer['tags'].append('three')
        answer['name'] = 'spoilt'
        [found] = self.find().records
        found['tags'].clear()
        found['name'] = 'spoilt'

        [record] = self.find().records
        self.assertEqual((['one'], None), (record['tags'], record['name']))

        [replaced] = self.replace(record)
        replaced['tags'].append('four')
        record['tags'].append('five')
        self.assertEqual([['one']], [record['tags'] for record in self.find().records])
        self.assertEqual(['a'], self.ids(('tags', 'has', 'one')))
        self.assertEqual([], self.ids(('name', '=', 'spoilt')))

    # Replace

    def test_a_replaced_record_has_the_next_revision(self):
        [record] = self.insert(thing('a', order=1))

        [second] = self.replace({**record, 'order': 2})
        [third] = self.replace({**second, 'order': 3})

        self.assertEqual([(2, 2), (3, 3)], [(record['revision'], record['order']) for record in (second, third)])
        self.assertEqual([third], self.find().records)

    def test_a_replaced_record_is_found_by_what_it_is_now(self):
        [record, _] = self.insert(thing('a', group='old', order=1, tags=['old']), thing('b', group='old', order=2))
        self.replace({**record, 'group': 'new', 'order': 3, 'tags': ['new']})

        self.assertEqual((['a'], ['b']), (self.ids(('group', '=', 'new')), self.ids(('group', '=', 'old'))))
        self.assertEqual(([], ['a']), (self.ids(('tags', 'has', 'old')), self.ids(('tags', 'has', 'new'))))
        self.assertEqual(['b', 'a'], self.ids(order=(('order', False),)))

    def test_a_record_of_another_revision_is_not_replaced(self):
        [first] = self.insert(thing('a', order=1))
        [second] = self.replace({**first, 'order': 2})

        for revision in (1, 3, 0):
            [answer] = self.replace({**first, 'order': 9, 'revision': revision})
            self.assertIsInstance(answer, errors.Stale)

        self.assertEqual([second], self.find().records)

    def test_a_record_that_is_gone_is_not_replaced(self):
        [record] = self.insert(thing('a'))
        self.delete()

        [gone, never] = self.replace(record, {**record, 'id': 'never'})

        self.assertIsInstance(gone, errors.Stale)
        self.assertIsInstance(never, errors.Stale)
        self.assertEqual([], self.ids())

    def test_each_record_is_replaced_for_itself(self):
        [one, two, three] = self.insert(*map(thing, ['1', '2', '3']))

        answers = self.replace({**one, 'order': 1}, {**two, 'order': 2, 'revision': 7}, {**three, 'order': 3})

        self.assertEqual([2, errors.Stale, 2], [_outcome(answer) for answer in answers])
        self.assertEqual([1, None, 3], [record['order'] for record in self.find().records])

    def test_the_second_replacement_of_a_record_in_one_call_is_stale(self):
        [record] = self.insert(thing('a'))

        answers = self.replace({**record, 'order': 1}, {**record, 'order': 2})

        self.assertEqual([2, errors.Stale], [_outcome(answer) for answer in answers])
        self.assertEqual([1], [record['order'] for record in self.find().records])

    def test_replacing_nothing_answers_nothing(self):
        self.assertEqual([], self.replace())

    def test_a_replacement_whose_unique_set_is_taken_by_another_is_a_duplicate(self):
        [a, b] = self.insert(thing('a', group='g', name='n', order=1), thing('b', group='g', name='m', order=2))

        answers = self.replace({**b, 'name': 'n', 'order': 3}, {**a, 'order': 4})

        self.assertEqual([errors.Duplicate, 2], [_outcome(answer) for answer in answers])
        self.assertEqual([(4, 2), (2, 1)], [(record['order'], record['revision']) for record in self.find().records])

    def test_a_replacement_may_keep_its_unique_sets(self):
        [record] = self.insert(thing('a', group='g', name='n', select='s'))

        [stored] = self.replace({**record, 'order': 1})

        self.assertEqual(2, stored['revision'])

    def test_a_unique_set_that_was_given_up_is_free(self):
        [record, other] = self.insert(thing('a', select='s'), thing('b', select='t'))
        self.replace({**record, 'select': 'new'})
        self.delete(('id', '=', other['id']))

        answers = self.insert(thing('c', select='s'), thing('d', select='t'), thing('e', select='new'))

        self.assertEqual([1, 1, errors.Duplicate()], [_revision(answer) for answer in answers])

    def test_a_replacement_takes_its_unique_sets(self):
        [record] = self.insert(thing('a'))
        self.replace({**record, 'group': 'g', 'name': 'n'})

        self.assertEqual([errors.Duplicate()], self.insert(thing('b', group='g', name='n')))

    def test_a_replacement_may_take_what_one_before_it_gives_up_and_none_behind_it(self):
        [a, b] = self.insert(thing('a', select='s'), thing('b', select='t'))
        giving, taking = {**b, 'select': None}, {**a, 'select': 't'}

        answers = self.replace(taking, giving)
        self.assertEqual([errors.Duplicate(), 2], [_revision(answer) for answer in answers])
        [b] = self.replace({**b, 'revision': 2})

        answers = self.replace({**giving, 'revision': b['revision']}, taking)
        self.assertEqual([4, 2], [_revision(answer) for answer in answers])

    # Find: conditions

    def test_a_field_equals_a_value_exactly(self):
        self.insert(thing('a', name='x', order=1), thing('b', name='X', order=2), thing('c', name='x ', order=1))

        self.assertEqual(['a'], self.ids(('name', '=', 'x')))
        self.assertEqual(['a', 'c'], self.ids(('order', '=', 1)))
        self.assertEqual([], self.ids(('order', '=', 3)))

    def test_none_equals_none(self):
        self.insert(thing('a', name='x', order=0, flag=False, ratio=0.0, data=b'', tags=[]), thing('b', name=''))

        for field in ('order', 'flag', 'ratio', 'data', 'tags'):
            self.assertEqual(['b'], self.ids((field, '=', None)))
        self.assertEqual([], self.ids(('name', '=', None)))
        self.assertEqual(['a', 'b'], self.ids(('group', '=', None)))

    def test_none_is_not_ordered(self):
        self.insert(thing('a'), thing('b', order=0, ratio=0.0, name=''))

        for op in ('<', '<=', '>', '>='):
            for field, value in (('order', 0), ('ratio', 0.0), ('name', '')):
                self.assertNotIn('a', self.ids((field, op, value)))
                self.assertEqual([], self.ids((field, op, None)))

    def test_numbers_are_compared(self):
        self.insert_things(10, order=lambda number: number - 5, ratio=lambda number: number / 4)

        self.assertEqual(['000', '001'], self.ids(('order', '<', -3)))
        self.assertEqual(['000', '001', '002'], self.ids(('order', '<=', -3)))
        self.assertEqual(['008', '009'], self.ids(('order', '>', 2)))
        self.assertEqual(['007', '008', '009'], self.ids(('order', '>=', 2)))
        self.assertEqual(['000', '001'], self.ids(('ratio', '<', 0.5)))
        self.assertEqual(['009'], self.ids(('ratio', '>', 2)))

    def test_big_numbers_are_compared_exactly(self):
        self.insert_things(4, order=lambda number: 2**53 + number)

        self.assertEqual(['001'], self.ids(('order', '=', 2**53 + 1)))
        self.assertEqual(['002', '003'], self.ids(('order', '>', 2**53 + 1)))

    def test_texts_are_ordered_by_code_points(self):
        self.insert(*(thing(f'{number:03}', name=text) for number, text in enumerate(TEXTS)))

        self.assertEqual(TEXTS, [record['name'] for record in self.find(order=(('name', False),)).records])
        for text in TEXTS:
            below = [other for other in TEXTS if other < text]
            self.assertEqual(below, [record['name'] for record in self.find(('name', '<', text)).records])
            above = [other for other in TEXTS if other >= text]
            self.assertEqual(above, [record['name'] for record in self.find(('name', '>=', text)).records])

    def test_a_prefix_is_taken_literally(self):
        self.insert(*(thing(f'{number:03}', name=text) for number, text in enumerate([*TEXTS, None])))

        for prefix in TEXTS:
            expected = [text for text in TEXTS if text.startswith(prefix)]
            self.assertEqual(expected, [record['name'] for record in self.find(('name', 'prefix', prefix)).records])

    def test_a_part_of_a_text_is_taken_literally(self):
        self.insert(*(thing(f'{number:03}', name=f'x{text}y') for number, text in enumerate(TEXTS)), thing('none'))

        for part in TEXTS:
            expected = [f'x{text}y' for text in TEXTS if part in f'x{text}y']
            self.assertEqual(expected, [record['name'] for record in self.find(('name', 'contains', part)).records])
        self.assertEqual([], self.ids(('name', 'contains', 'X')))

    def test_a_list_has_an_element_and_not_a_part_of_one(self):
        self.insert(
            thing('a', tags=['one', 'two']),
            thing('b', tags=['onetwo', 'o"ne', '["color","red"]']),
            thing('c', tags=[]),
            thing('d', tags=None),
            thing('e', tags=TEXTS),
            thing('f', tags=['one', 'one']),
        )

        self.assertEqual(['a', 'f'], self.ids(('tags', 'has', 'one')))
        self.assertEqual([], self.ids(('tags', 'has', 'on')))
        self.assertEqual([], self.ids(('tags', 'has', 'ONE')))
        self.assertEqual([], self.ids(('tags', 'has', 'one","two')))
        self.assertEqual(['b'], self.ids(('tags', 'has', 'o"ne')))
        self.assertEqual(['b'], self.ids(('tags', 'has', '["color","red"]')))
        for text in TEXTS:
            self.assertEqual(['e'], self.ids(('tags', 'has', text)))
        self.assertEqual(['a'], self.ids(('tags', 'has', 'one'), ('tags', 'has', 'two')))

    def test_a_field_is_in_a_sequence(self):
        self.insert_things(5, order=lambda number: number, name=lambda number: f"it's {number}")
        self.insert(thing('none'))

        self.assertEqual(['001', '003'], self.ids(('order', 'in', [3, 1, 99, 3])))
        self.assertEqual(['002'], self.ids(('name', 'in', ("it's 2", 'x'))))
        self.assertEqual([], self.ids(('order', 'in', ())))
        self.assertEqual(['001', 'none'], self.ids(('order', 'in', [None, 1])))
        self.assertEqual(['004'], self.ids(('order', 'in', list(range(4, 1500)))))

    def test_conditions_hold_all_together(self):
        self.insert_things(20, group=lambda number: 'ab'[number % 2], order=lambda number: number // 4, tags=['x'])

        self.assertEqual(['009', '011'], self.ids(('group', '=', 'b'), ('order', '>', 1), ('order', '<', 3)))
        self.assertEqual(['008'], self.ids(('order', '=', 2), ('group', 'in', 'a'), ('id', '<', '010')))
        self.assertEqual(['018'], self.ids(('id', 'contains', '8'), ('id', 'prefix', '01'), ('tags', 'has', 'x')))
        self.assertEqual([], self.ids(('order', '=', 1), ('order', '=', 2)))

    def test_revisions_are_conditions_like_any_field(self):
        [a, _] = self.insert(thing('a'), thing('b'))
        self.replace(a)

        self.assertEqual(['a'], self.ids(('revision', '=', 2)))
        self.assertEqual(['a'], self.ids(('revision', '>', 1)))
        self.assertEqual(['b'], self.ids(('id', 'in', ['a', 'b']), ('revision', 'in', [1])))
        self.assertEqual(1, self.count(('revision', '<', 2)))
        self.assertEqual(0, self.delete(('id', '=', 'a'), ('revision', '=', 1)))
        self.assertEqual(1, self.delete(('id', '=', 'a'), ('revision', '=', 2)))

    # Find: order and pages

    def test_records_are_found_in_the_order_of_the_key_by_default(self):
        self.insert(*(place(shelf, slot) for slot, shelf in [(2, 'b'), (10, 'a'), (9, 'a'), (1, 'b')]), table=PLACES)

        found = self.find(table=PLACES).records

        expected = [('a', 9), ('a', 10), ('b', 1), ('b', 2)]
        self.assertEqual(expected, [(record['shelf'], record['slot']) for record in found])

    def test_an_order_may_be_mixed_and_is_completed_by_the_key_ascending(self):
        self._insert_mixed()

        for order in (
            (('order', False),),
            (('order', True),),
            (('group', True), ('order', False)),
            (('group', False), ('order', True)),
            (('ratio', True), ('group', False), ('order', True)),
            (('order', True), ('id', True)),
        ):
            self.assertEqual(self._in_order(order), self.ids(order=order))

    def _insert_mixed(self):
        pick = random.Random(7)
        self.insert_things(
            60,
            group=lambda number: pick.choice('abc'),
            order=lambda number: pick.randrange(4),
            ratio=lambda number: pick.randrange(3) / 2,
        )

    def _in_order(self, order):
        found = self.find().records
        for field, descending in reversed(order):
            found.sort(key=lambda record: record[field], reverse=descending)
        return [record['id'] for record in found]

    def test_pages_visit_each_record_once_in_any_order(self):
        self._insert_mixed()

        for order in (
            (),
            (('order', True),),
            (('group', True), ('order', False)),
            (('group', False), ('order', True)),
            (('order', True), ('id', True)),
            (('ratio', True), ('group', False), ('order', True)),
        ):
            for limit in (1, 7, 59, 60, 61):
                visited = [record['id'] for record in self.visit(limit, order)]
                self.assertEqual(self._in_order(order), visited)

    def test_pages_of_a_table_whose_key_has_several_fields_visit_each_record_once(self):
        self.insert(*(place(shelf, slot, label='x') for shelf in 'abc' for slot in range(5)), table=PLACES)

        for order in (
            (),
            (('slot', True),),
            (('shelf', True),),
            (('label', False),),
            (('label', True), ('slot', True)),
        ):
            visited = self.visit(4, order, table=PLACES)
            self.assertEqual(15, len({(record['shelf'], record['slot']) for record in visited}))
            self.assertEqual(15, len(visited))

    def test_pages_visit_records_whose_ordered_fields_are_none_too(self):
        self.insert_things(20, order=lambda number: None if number % 3 else number, group=lambda number: None)

        for order in ((('order', False),), (('order', True),), (('group', True), ('order', True)), (('name', False),)):
            visited = [record['id'] for record in self.visit(3, order)]
            self.assertEqual(self.ids(order=order), visited)
            self.assertEqual(self.ids(), sorted(visited))

    def test_pages_under_conditions_visit_each_match_once(self):
        self._insert_mixed()

        order = (('order', True),)
        visited = self.visit(4, order, where=[('group', '=', 'b'), ('id', '>', '020')])

        self.assertEqual(self.ids(('group', '=', 'b'), ('id', '>', '020'), order=order), [r['id'] for r in visited])

    def test_pages_visit_each_record_once_while_others_insert_and_delete(self):
        self.insert_things(40, order=lambda number: number % 5)
        numbers = iter(range(1000))
        pick = random.Random(11)

        def disturb():
            number = next(numbers)
            self.insert(thing(f'{pick.randrange(1000):03}-{number}', order=pick.randrange(5)))
            self.delete(('id', 'contains', '-'), limit=pick.randrange(2))

        visited = [record['id'] for record in self.visit(3, (('order', True),), between=disturb)]

        self.assertEqual(sorted(set(visited)), sorted(visited))
        self.assertEqual([f'{number:03}' for number in range(40)], sorted(id for id in visited if '-' not in id))

    def test_a_page_may_begin_behind_a_place_where_no_record_is(self):
        self.insert_things(5, order=lambda number: number * 10)

        self.assertEqual(['003', '004'], self.ids(order=(('order', False),), after=(25, '')))
        self.assertEqual(['002', '001', '000'], self.ids(order=(('order', True),), after=(25, 'zzz')))
        self.assertEqual(['003', '004'], self.ids(after=('002-x',)))
        self.assertEqual([], self.ids(after=('zzz',)))

    def test_an_offset_passes_over_the_first_matches(self):
        self.insert_things(10, order=lambda number: number % 2)

        self.assertEqual(['003', '004'], self.ids(offset=3, limit=2))
        self.assertEqual(['009'], self.ids(offset=9))
        self.assertEqual([], self.ids(offset=10))
        self.assertEqual(['005', '007'], self.ids(('order', '=', 1), offset=2, limit=2))
        self.assertEqual(['005', '003'], self.ids(('order', '=', 1), offset=2, limit=2, order=(('id', True),)))

    def test_no_more_records_are_found_than_the_limit_and_ten_by_default(self):
        self.insert_things(15)

        self.assertEqual(1, len(self.ids(limit=1)))
        self.assertEqual(10, len(self.store.find(THINGS, records.Query()).records))
        self.assertEqual(15, len(self.ids(limit=15)))

    def test_only_the_fields_asked_for_are_found_with_key_and_revision(self):
        self.insert(thing('a', order=5, data=b'x' * 1000, tags=['t'], group='g'))

        [found] = self.find(
            ('group', '=', 'g'), ('tags', 'has', 't'), order=(('ratio', True),), fields=('order',)
        ).records
        self.assertEqual({'id': 'a', 'order': 5, 'revision': 1}, found)
        [found] = self.find(fields=('data', 'id')).records
        self.assertEqual({'id': 'a', 'data': b'x' * 1000, 'revision': 1}, found)
        [found] = self.find(fields=()).records
        self.assertEqual({'id': 'a', 'revision': 1}, found)

    def test_a_plain_search_says_nothing_of_how_far_it_reached(self):
        self.insert_things(20)

        self.assertIsNone(self.find(limit=5).reached)
        self.assertIsNone(self.find(limit=50).reached)

    # Find: budget

    def test_a_search_within_a_budget_is_gone_on_with_from_where_it_reached(self):
        self.insert_things(200, name=lambda number: f'name-{number}', tags=lambda number: [f'tag-{number % 50}'])

        for condition in (('name', 'contains', '-7'), ('tags', 'has', 'tag-49')):
            for order in ((), (('id', True),), (('name', False),)):
                first = self.find(condition, order=order, budget=20)
                self.assertIsNotNone(first.reached)
                self.assertLessEqual(len(first.records), 20)
                visited = [record['id'] for record in self.visit(10, order, where=[condition], budget=20)]
                self.assertEqual(self.ids(condition, order=order), visited)

    def test_a_search_that_finds_enough_within_its_budget_reached_its_limit(self):
        self.insert_things(50, name='x', tags=['t'])

        for condition in (('name', 'contains', 'x'), ('tags', 'has', 't')):
            found = self.find(condition, limit=5, budget=20)
            self.assertEqual((5, None), (len(found.records), found.reached))

    def test_a_search_that_comes_to_the_end_within_its_budget_reached_it(self):
        self.insert_things(15, name=lambda number: f'{number}')

        found = self.find(('name', 'contains', '3'), budget=100)

        self.assertEqual((['003', '013'], None), ([record['id'] for record in found.records], found.reached))

    def test_only_what_the_other_conditions_choose_counts_for_the_budget(self):
        self.insert_things(100, group=lambda number: 'b' if number >= 90 else 'a', name=lambda number: f'n{number}')

        found = self.find(('group', '=', 'b'), ('name', 'contains', '99'), budget=20)

        self.assertEqual((['099'], None), ([record['id'] for record in found.records], found.reached))

    def test_a_search_without_contains_or_has_needs_no_budget(self):
        self.insert_things(50, order=lambda number: number)

        found = self.find(('order', '>=', 40), budget=5)

        self.assertEqual((10, None), (len(found.records), found.reached))

    # Count

    def test_matching_records_are_counted_up_to_a_cap(self):
        self.insert_things(30, order=lambda number: number % 3, name=lambda number: f'{number}', tags=['t'])

        self.assertEqual(30, self.count())
        self.assertEqual(10, self.count(('order', '=', 0)))
        self.assertEqual(4, self.count(('order', '=', 0), cap=4))
        self.assertEqual(10, self.count(('order', '=', 0), cap=10))
        self.assertEqual(3, self.count(('name', 'contains', '7')))
        self.assertEqual(2, self.count(('name', 'contains', '7'), cap=2))
        self.assertEqual(30, self.count(('tags', 'has', 't')))
        self.assertEqual(0, self.count(('order', '=', None)))

    # Delete

    def test_matching_records_are_deleted_and_counted(self):
        self.insert_things(10, order=lambda number: number % 2)

        self.assertEqual(5, self.delete(('order', '=', 1)))
        self.assertEqual(0, self.delete(('order', '=', 1)))

        self.assertEqual(['000', '002', '004', '006', '008'], self.ids())

    def test_the_first_records_in_an_order_are_deleted_up_to_a_limit(self):
        self.insert_things(10, order=lambda number: 9 - number, name=lambda number: f'n{number}')

        self.assertEqual(2, self.delete(order=(('order', False),), limit=2))
        self.assertEqual([f'{number:03}' for number in range(8)], self.ids())
        self.assertEqual(2, self.delete(limit=2))
        self.assertEqual([f'{number:03}' for number in range(2, 8)], self.ids())
        self.assertEqual(3, self.delete(('order', '>', 2), order=(('order', True),), limit=3))
        self.assertEqual(['005', '006', '007'], self.ids())

    def test_records_are_deleted_under_conditions_of_every_kind(self):
        self.insert_things(20, name=lambda number: f'n{number}', tags=lambda number: [f't{number % 4}'])
        self.insert(thing('none'))

        self.assertEqual(5, self.delete(('tags', 'has', 't1')))
        self.assertEqual(2, self.delete(('name', 'contains', '8')))
        self.assertEqual(1, self.delete(('name', '=', None)))
        self.assertEqual(7, self.delete(('name', 'prefix', 'n1')))
        self.assertEqual(2, self.delete(('id', 'in', ['000', '002', '005'])))
        self.assertEqual(['003', '004', '006', '007'], self.ids())

    def test_a_deleted_record_may_be_inserted_again_and_begins_with_its_first_revision(self):
        [record] = self.insert(thing('a', group='g', name='n'))
        self.replace(record)
        self.delete()

        self.assertEqual([1], [_revision(answer) for answer in self.insert(thing('a', group='g', name='n'))])

    # The tables of the service

    def test_queues_are_records_like_others(self):
        queue = drivers.make_queue(self.driver, 'first')
        drivers.make_queue(self.driver, 'second')
        drivers.make_queue(self.driver, 'first', project='project-2')
        owned = [('namespace', '=', queue.key.namespace), ('project', '=', queue.key.project)]

        names = [record['name'] for record in self.find(*owned, table=tables.QUEUES, order=(('name', True),)).records]

        self.assertEqual(['second', 'first'], names)
        self.assertEqual(2, self.count(*owned, table=tables.QUEUES))
        changed = drivers.change_queue(self.driver, queue)
        self.assertEqual(2, changed.revision)

    def test_two_queues_of_a_project_do_not_share_a_name(self):
        queue = drivers.make_queue(self.driver, 'first')
        [record] = self.find(table=tables.QUEUES).records
        del record['revision']

        self.assertEqual([errors.Duplicate()], self.insert({**record, 'id': 'f' * 24}, table=tables.QUEUES))
        drivers.delete_queue(self.driver, queue)
        self.assertEqual(
            [1], [_revision(answer) for answer in self.insert({**record, 'id': 'f' * 24}, table=tables.QUEUES)]
        )

    def test_every_table_of_the_service_takes_and_gives_back_a_record(self):
        examples = {str: 'x', bytes: b'x', float: 0.5, int: 5, bool: True, list: ['x']}
        for table in tables.ALL:
            record = {field: examples[kind] for field, kind in table.fields.items()}

            self.assertEqual([{**record, 'revision': 1}], self.insert(record, table=table))
            self.assertEqual([{**record, 'revision': 1}], self.find(table=table).records)
            self.assertEqual(1, self.delete(table=table))


def thing(id, **fields) -> records.Record:
    return {**dict.fromkeys(THINGS.fields), 'id': id, **fields}


def place(shelf, slot, label=None) -> records.Record:
    return {'shelf': shelf, 'slot': slot, 'label': label}


def _conditions(where):
    return tuple(records.Condition(*condition) for condition in where)


def _revision(answer):
    """The revision of a record; whatever stands in place of one as it is."""
    return answer['revision'] if isinstance(answer, dict) else answer


def _outcome(answer):
    """The revision of a record; what kind of thing stands in place of one."""
    return answer['revision'] if isinstance(answer, dict) else type(answer)
