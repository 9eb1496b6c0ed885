"""Random histories on a driver, judged by the plain model of the ports.

Each history is made of the same calls, with the same times and ids, on the driver and on
`tests.contract.model`; every answer is compared. HYPOTHESIS_MAX_EXAMPLES and HYPOTHESIS_STEPS make it
more and longer histories than the few seconds' worth that run by default.
"""

import os

import hypothesis
import msgspec
from hypothesis import stateful
from hypothesis import strategies as st

from queueservice.model import messages, queues
from queueservice.storage import errors, records, tables
from queueservice.storage import messages as ports
from tests.contract import model, record_store
from tests.fixtures import clock, drivers

SETTINGS = hypothesis.settings(
    max_examples=int(os.environ.get('HYPOTHESIS_MAX_EXAMPLES', 40)),
    stateful_step_count=int(os.environ.get('HYPOTHESIS_STEPS', 60)),
    deadline=None,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)


class MachineContract:
    """Mix it into a `testtools.TestCase` that says how to make a prepared, empty driver."""

    def test_random_histories_of_messages_are_answered_as_by_the_model(self):
        self._run(MessageMachine)

    def test_random_histories_of_records_are_answered_as_by_the_model(self):
        self.patch(tables, 'ALL', (*tables.ALL, record_store.THINGS, record_store.PLACES))
        self._run(RecordMachine)

    def _run(self, machine):
        driver = self.make_driver()
        self.addCleanup(driver.close)
        stateful.run_state_machine_as_test(lambda: machine(driver), settings=SETTINGS)


def _outcome(call, *arguments, **options):
    """What the call answers, or which error it raises."""
    try:
        return call(*arguments, **options)
    except errors.StorageError as error:
        return type(error)


#: Picks one of what there is at that moment: the n-th, modulo how many there are.
picks = st.integers(0, 999)
#: Few, so that what is to happen at one instant does.
seconds = st.sampled_from([1, 2, 5, 10])

KEYS = ['a', 'b', '$c.d']
drafts = st.lists(
    st.fixed_dictionaries(
        {
            'body': st.sampled_from([b'1', b'{"a":1}', b'"' + b'x' * 50 + b'"']),
            'ttl': st.sampled_from([60, 60, 20, 5, 2]),
            'delay': st.sampled_from([0, 0, 0, 2, 5]),
            'client': st.sampled_from([b'', b'me', b'them']),
            'claim_count': st.sampled_from([0, 0, 0, 1, 2]),
            'key': st.sampled_from([None] * 8 + KEYS),
            'window': seconds | st.just(30),
            'digest': st.sampled_from([b'x'] * 9 + [b'y']),
        }
    ),
    min_size=1,
    max_size=8,
)

changes = st.fixed_dictionaries(
    {
        'ends_in': st.none() | seconds,
        'available_in': st.sampled_from([0, 0, 2, 5]),
        'keep_for': st.sampled_from([0, 0, 2, 10]),
        'state': st.none() | st.sampled_from([b'', b'"s"', b'"t"']),
    }
)


class MessageMachine(stateful.RuleBasedStateMachine):
    def __init__(self, driver):
        super().__init__()
        self.driver = driver
        self.model = model.Driver()
        self.clock = clock.Clock()
        self.project = messages.new_id()
        #: Queue id -> the driver's positions of the queue's messages: the n-th is that of the model's message n.
        self.places = {}
        self.claims = []  # (queue, claim id) of all that found something
        self.queues = [self._make_queue(name) for name in ('one', 'two')]
        self.old = self.queues[0]

    def _make_queue(self, name):
        queue = drivers.make_queue(self.driver, name, self.project)
        drivers.make_queue(self.model, name, self.project, id=queue.id)
        self.places[queue.id] = []
        return queue

    def teardown(self):
        for queue in self.queues:
            self._compare_all_of(queue)
        self._sweep()
        self.driver.records.delete(
            tables.QUEUES, [records.Condition('project', '=', self.project)], limit=len(self.queues)
        )
        self._sweep()

    # How answers are compared

    def _both(self, verb, queue, *arguments, **options):
        """The outcomes of a verb on the driver and on the model; `arguments` may be made for each store."""
        outcomes = []
        for driver, places in ((self.driver, self.places[queue.id]), (self.model, None)):
            made = [argument(places) if callable(argument) else argument for argument in arguments]
            outcomes.append(_outcome(getattr(driver.messages, verb), queue, *made, **options))
        return outcomes

    def _agree(self, queue, theirs, ours):
        """Compare two answers and translate the driver's positions for that."""
        assert self._translate(queue, theirs) == ours, f'{theirs} instead of {ours}'

    def _translate(self, queue, answer):
        places = self.places[queue.id]
        match answer:
            case int():
                return places.index(answer) + 1
            case list():
                return [self._translate(queue, part) for part in answer]
            case messages.Message() | ports.Appended():
                return msgspec.structs.replace(answer, position=self._translate(queue, answer.position))
        return answer

    def _named(self, places, numbers):
        """Positions in a store by number; some lie where nothing ever was."""
        if places is None:
            return tuple(numbers)
        return tuple(places[number - 1] if number <= len(places) else 10**9 + number for number in numbers)

    def _everything(self, after=0):
        return ports.Selection(after=after, limit=10_000, include_claimed=True, include_delayed=True)

    def _note_new_places(self, queue):
        """Learn the positions of what was appended, and that they stand behind all before."""
        places = self.places[queue.id]
        theirs = _outcome(self.driver.messages.select, queue, self._everything(max(places, default=0)), self.clock())
        if theirs is not errors.Stale:
            places += [message.position for message in theirs.messages]
        assert places == sorted(set(places))
        self._compare_all_of(queue)

    def _compare_all_of(self, queue):
        theirs, ours = self._both('select', queue, self._everything(), self.clock())
        self._agree_on_messages(queue, theirs, ours)

    def _agree_on_messages(self, queue, theirs, ours):
        if ours is errors.Stale:
            assert theirs is errors.Stale
        else:
            self._agree(queue, theirs.messages, ours.messages)

    def _queue(self, pick):
        """A queue; now and then by an old value."""
        return self.old if pick % 10 == 9 else self.queues[pick % len(self.queues)]

    # What happens

    @stateful.rule(seconds=seconds | st.just(0.5))
    def go_on(self, seconds):
        self.clock.advance(seconds)

    def _make_drafts(self, fields):
        now = self.clock()
        return [
            messages.Draft(
                body=each['body'],
                expires_at=now + each['ttl'],
                available_at=now + each['delay'] if each['delay'] else 0,
                client=each['client'],
                claim_count=each['claim_count'],
                key=each['key'],
                key_until=now + each['window'] if each['key'] else 0,
                key_digest=each['digest'] if each['key'] else b'',
            )
            for each in fields
        ]

    @stateful.initialize(one=drafts, two=drafts)
    def begin(self, one, two):
        self.append(0, one)
        self.append(1, two)

    @stateful.rule(pick=picks, fields=drafts)
    def append(self, pick, fields):
        queue = self._queue(pick)
        theirs, ours = self._both('append', queue, self._make_drafts(fields), self.clock())
        self._note_new_places(queue)
        self._agree(queue, theirs, ours)

    @stateful.rule(pick=picks, other=picks, fields=drafts, derived=drafts)
    def append_and_derive(self, pick, other, fields, derived):
        queue, outbox = self._queue(pick), self._queue(other)
        if queue is outbox:
            return
        theirs, ours = self._both(
            'append',
            queue,
            self._make_drafts(fields),
            self.clock(),
            derive=lambda stored: [(outbox, self._make_drafts(derived[: len(stored)]))],
        )
        self._note_new_places(queue)
        self._note_new_places(outbox)
        self._agree(queue, theirs, ours)

    @stateful.rule(
        pick=picks,
        after=st.integers(0, 30),
        limit=st.integers(1, 8),
        not_from=st.sampled_from([None, b'me', b'']),
        claimed=st.booleans(),
        delayed=st.booleans(),
    )
    def list_some(self, pick, after, limit, not_from, claimed, delayed):
        queue = self._queue(pick)
        filters = {'not_from': not_from, 'include_claimed': claimed, 'include_delayed': delayed}

        def selection(places):
            place = 0 if after == 0 else self._named(places, [after])[0]
            return ports.Selection(after=place, limit=limit, **filters)

        theirs, ours = self._both('select', queue, selection, self.clock())
        if ours is errors.Stale:
            assert theirs is errors.Stale
            return
        self._agree(queue, theirs.messages, ours.messages)
        if ours.messages:
            self._agree(queue, theirs.reached, ours.reached)
        else:
            assert theirs.reached == selection(self.places[queue.id]).after

    @stateful.rule(pick=picks, numbers=st.lists(st.integers(1, 30), max_size=6))
    def read_some(self, pick, numbers):
        queue = self._queue(pick)
        theirs, ours = self._both(
            'select', queue, lambda places: ports.Selection(positions=self._named(places, numbers)), self.clock()
        )
        self._agree_on_messages(queue, theirs, ours)

    @stateful.rule(pick=picks, keys=st.lists(st.sampled_from(KEYS), max_size=3).map(tuple))
    def read_keys(self, pick, keys):
        queue = self._queue(pick)
        theirs, ours = self._both('select', queue, ports.Selection(keys=keys), self.clock())
        self._agree_on_messages(queue, theirs, ours)

    @stateful.precondition(lambda self: self.claims)
    @stateful.rule(pick=picks)
    def read_claim(self, pick):
        queue, claim_id = self._claimed(pick)
        theirs, ours = self._both('select', queue, ports.Selection(claim_id=claim_id), self.clock())
        self._agree_on_messages(queue, theirs, ours)

    def _claimed(self, pick):
        """One of the latest claims, for those may live; now and then with another queue than its own."""
        queue, claim_id = self.claims[-1 - pick % min(len(self.claims), 4)]
        return (self._queue(pick) if pick % 10 == 9 else queue), claim_id

    def _numbers(self, queue, selection):
        """The numbers of messages that the model shows."""
        ours = _outcome(self.model.messages.select, queue, selection, self.clock())
        return [] if ours is errors.Stale else [message.position for message in ours.messages]

    @stateful.rule(
        pick=picks,
        limit=st.integers(1, 8),
        ttl=seconds,
        grace=st.sampled_from([None, 0, 10]),
        max_claims=st.sampled_from([None, None, 1, 2, 3]),
        in_flight=st.sampled_from([None, None, None, 5, 2, 0]),
    )
    def claim(self, pick, limit, ttl, grace, max_claims, in_flight):
        self._claim(pick, limit, ttl, grace, max_claims=max_claims, in_flight=in_flight)

    @stateful.rule(pick=picks, limit=st.integers(1, 4), max_claims=st.sampled_from([None, 1, 2]))
    def take(self, pick, limit, max_claims):
        self._claim(pick, limit, 10, None, max_claims=max_claims, take=True)

    def _claim(self, pick, limit, ttl, grace, take=False, **bounds):
        queue = self._queue(pick)
        now = self.clock()
        claim = messages.Claim(messages.new_id(), ttl, now + ttl)
        keep_until = 0 if grace is None else claim.ends_at + grace
        theirs, ours = self._both('claim', queue, claim, limit, now, keep_until=keep_until, take=take, **bounds)
        if ours is errors.Stale:
            assert theirs is errors.Stale
            return
        if ours.messages or ours.dead:
            self.claims.append((queue, claim.id))
        self._agree(queue, theirs.messages, ours.messages)
        self._agree(queue, theirs.dead, ours.dead)
        if not ours.messages and not ours.dead:
            if ours.next_at is not None:
                assert theirs.next_at is not None and theirs.next_at <= ours.next_at, (theirs, ours)
            assert theirs.next_at is None or theirs.next_at > now, theirs

    @stateful.precondition(lambda self: self.claims)
    @stateful.rule(pick=picks, fields=changes)
    def renew_a_claim(self, pick, fields):
        self._renew(pick, lambda held: [(None, fields)])

    @stateful.precondition(lambda self: self.claims)
    @stateful.rule(
        pick=picks, cut=st.integers(0, 4), one=changes, two=changes, others=st.sets(st.integers(1, 20), max_size=2)
    )
    def renew_parts_of_a_claim(self, pick, cut, one, two, others):
        self._renew(pick, lambda held: [({*held[:cut], *others} - {*held[cut:]}, one), ({*held[cut:]} - others, two)])

    def _renew(self, pick, share):
        queue, claim_id = self._claimed(pick)
        now = self.clock()
        parts = share(self._numbers(queue, ports.Selection(claim_id=claim_id)))

        def make(places):
            return [
                messages.Change(
                    positions=None if numbers is None else self._named(places, sorted(numbers)),
                    ends_at=None if fields['ends_in'] is None else now + fields['ends_in'],
                    ttl=fields['ends_in'] or 0,
                    available_at=now + fields['available_in'] if fields['available_in'] else 0,
                    keep_until=now + fields['keep_for'] if fields['keep_for'] else 0,
                    state=fields['state'],
                )
                for numbers, fields in parts
            ]

        theirs, ours = self._both('renew', queue, claim_id, make, now)
        if ours is errors.Stale:
            assert theirs is errors.Stale
        else:
            assert theirs == ours, f'{theirs} changed instead of {ours}'

    @stateful.rule(
        pick=picks,
        numbers=st.sets(st.integers(1, 30), max_size=4),
        guards=st.lists(picks, max_size=2),
        unclaimed=st.booleans(),
        all_or_none=st.booleans(),
    )
    def delete(self, pick, numbers, guards, unclaimed, all_or_none):
        """Some messages that are there or not, and some of what the guarding claims hold."""
        queue = self._queue(pick)
        guards = [self._claimed(guard)[1] for guard in guards if self.claims]
        live = self._numbers(queue, self._everything())
        numbers = {live[number % len(live)] if live and number % 7 else number for number in numbers}
        numbers.update(*(self._numbers(queue, ports.Selection(claim_id=guard))[pick % 3 :: 2] for guard in guards))
        theirs, ours = self._both(
            'delete',
            queue,
            lambda places: self._named(places, sorted(numbers)),
            self.clock(),
            claim_ids=guards,
            unclaimed=unclaimed,
            all_or_none=all_or_none,
        )
        if ours is errors.Stale:
            assert theirs is errors.Stale
        else:
            self._agree(queue, sorted(theirs.positions), ours.positions)
            self._agree(queue, sorted(theirs.refused), ours.refused)

    @stateful.rule(pick=picks)
    def count(self, pick):
        queue = self._queue(pick)
        theirs, ours = self._both('stats', queue, self.clock())
        if ours is not errors.Stale and theirs is not errors.Stale:
            for stats in (theirs, ours):
                assert stats.total == 0 or stats.oldest[0] <= stats.newest[0]
            if theirs.total:
                theirs.oldest = (self._translate(queue, theirs.oldest[0]), theirs.oldest[1])
                theirs.newest = (self._translate(queue, theirs.newest[0]), theirs.newest[1])
        assert theirs == ours, f'{theirs} instead of {ours}'

    @stateful.rule(pick=picks, what=st.sampled_from(['clear', 'change', 'change', 'make again']))
    def upset(self, pick, what):
        """Clear a queue, change it, or make it again; the old value is still used now and then afterwards."""
        index = pick % len(self.queues)
        old = self.queues[index]
        if what == 'clear':
            theirs, ours = self._both('clear', old, self.clock())
            assert theirs == ours
        elif what == 'change':
            self.queues[index] = drivers.change_queue(self.driver, old)
            drivers.change_queue(self.model, old)
            self.old = old
        else:
            drivers.delete_queue(self.driver, old)
            drivers.delete_queue(self.model, old)
            self.queues[index] = self._make_queue(old.key.name)
            self.old = old

    @stateful.rule()
    def sweep(self):
        self._sweep()
        theirs = self.driver.messages.usage(queues.PROJECT, self.project, self.clock())
        ours = self.model.messages.usage(queues.PROJECT, self.project, self.clock())
        assert theirs == ours, f'{theirs} instead of {ours}'

    def _sweep(self):
        self.model.messages.sweep(self.clock(), 10_000)
        for _ in range(1000):
            if self.driver.messages.sweep(self.clock(), 20) < 20:
                break
        assert self.driver.messages.sweep(self.clock(), 20) == 0


ids = st.sampled_from('abcdefgh')
names = st.none() | st.sampled_from(['', 'n', 'N', 'n%', '%', '_', 'nn', '\u00e9'])
numbers = st.none() | st.integers(-2, 2)
things = st.fixed_dictionaries(
    {
        'id': ids,
        'group': st.none() | st.sampled_from(['g', 'h']),
        'order': numbers,
        'ratio': st.none() | st.sampled_from([0.0, 0.5, -1.0]),
        'flag': st.none() | st.booleans(),
        'data': st.none() | st.sampled_from([b'', b'\x00\xff']),
        'tags': st.none() | st.lists(st.sampled_from(['x', 'y', 'xy']), max_size=3),
        'name': names,
        'select': st.none() | st.sampled_from(['s', 't']),
    }
)

_comparisons = st.sampled_from(['=', '<', '<=', '>', '>='])
_texts = st.sampled_from(['id', 'group', 'name', 'select'])
conditions = st.one_of(
    st.builds(records.Condition, st.just('order'), _comparisons, numbers),
    st.builds(records.Condition, st.just('ratio'), _comparisons, st.sampled_from([0.0, 0.25, -1.0])),
    st.builds(records.Condition, _texts, _comparisons, names | ids),
    st.builds(records.Condition, _texts, st.sampled_from(['prefix', 'contains']), st.sampled_from(['n', '%', '', 'a'])),
    st.builds(records.Condition, _texts, st.just('in'), st.lists(names | ids, max_size=3)),
    st.builds(records.Condition, st.just('order'), st.just('in'), st.lists(numbers, max_size=3)),
    st.builds(records.Condition, st.just('tags'), st.just('has'), st.sampled_from(['x', 'y', 'z'])),
    st.builds(records.Condition, st.sampled_from(['flag', 'data']), st.just('='), st.none()),
    st.builds(records.Condition, st.just('flag'), st.just('='), st.booleans()),
    st.builds(records.Condition, st.just('revision'), _comparisons, st.integers(0, 3)),
)
wheres = st.lists(conditions, max_size=3)
orders = st.lists(
    st.tuples(st.sampled_from(['id', 'group', 'order', 'ratio', 'name']), st.booleans()),
    max_size=3,
    unique_by=lambda part: part[0],
).map(tuple)


class RecordMachine(stateful.RuleBasedStateMachine):
    TABLE = record_store.THINGS

    def __init__(self, driver):
        super().__init__()
        self.driver = driver
        self.model = model.Driver()

    def teardown(self):
        self._both('delete', [], limit=1000)

    def _both(self, verb, *arguments, **options):
        theirs, ours = (
            getattr(driver.records, verb)(self.TABLE, *arguments, **options) for driver in (self.driver, self.model)
        )
        assert _comparable(theirs) == _comparable(ours), f'{theirs} instead of {ours}'
        return ours

    @stateful.rule(given=st.lists(things, max_size=4))
    def insert(self, given):
        self._both('insert', given)

    @stateful.rule(given=st.lists(st.tuples(things, st.sampled_from([0, 0, 0, 0, -1, 1])), max_size=3))
    def replace(self, given):
        """Mostly by the revision that is stored."""
        changed = []
        for record, off_by in given:
            row = self.model.records.get(self.TABLE, record['id'])
            changed.append({**record, 'revision': (row['revision'] if row else 1) + off_by})
        self._both('replace', changed)

    @stateful.rule(where=wheres, order=orders, limit=st.integers(1, 3))
    def delete(self, where, order, limit):
        self._both('delete', where, order=order, limit=limit)

    @stateful.rule(where=wheres, cap=st.integers(1, 5))
    def count(self, where, cap):
        self._both('count', where, cap)

    @stateful.rule(
        where=wheres,
        order=orders,
        place=st.none() | things,
        offset=st.sampled_from([0, 0, 0, 1, 3]),
        limit=st.integers(1, 10),
        fields=st.none() | st.sets(st.sampled_from(['order', 'tags', 'data', 'name'])).map(tuple),
    )
    def find(self, where, order, place, offset, limit, fields):
        after = None if place is None else tuple(place[field] for field in (*(name for name, _ in order), 'id'))
        self._both('find', records.Query(tuple(where), order, after, offset, limit, fields))

    @stateful.rule(where=wheres, order=orders, limit=st.integers(1, 4), budget=st.integers(1, 4))
    def search(self, where, order, limit, budget):
        """Page by page within a budget, and come to all there is: how far each page reaches is the driver's."""
        visited, after = [], None
        for _ in range(50):
            query = records.Query(tuple(where), order, after, limit=limit, budget=budget)
            found = self.driver.records.find(self.TABLE, query)
            assert len(found.records) <= limit
            visited += found.records
            if found.reached is not None:
                after = found.reached
            elif len(found.records) == limit:
                after = tuple(found.records[-1][field] for field in (*(name for name, _ in order), 'id'))
            else:
                break
        expected = self.model.records.find(self.TABLE, records.Query(tuple(where), order, limit=1000)).records
        assert visited == expected, f'{visited} instead of {expected}'


def _comparable(answer):
    """Answers as plain values: errors are told by their kind."""
    if isinstance(answer, list):
        return [type(part).__name__ if isinstance(part, errors.Stale | errors.Duplicate) else part for part in answer]
    return answer
