"""No wake-up is lost, whoever comes when, and whoever dies where.

Dispatchers and workers run on one store, one call of it at a time: after each, somebody is chosen at random to make his
next one, or to die before it is done or before he hears of it. In the end one of each, whom nobody interrupts, has to
find everything that was posted: nothing may lie in a lane that is parked.
"""

import contextlib
import random
import threading

import testtools

from queueservice import bootstrap
from queueservice.delivery import base
from queueservice.model import deliveries, messages, queues
from queueservice.services import lanes, notifications
from tests.fixtures import clock, drivers, subscribers

KEY = queues.QueueKey(queues.PROJECT, 'project-1', 'demo')
#: Histories that are tried, and calls of the store in one.
RUNS = 40
STEPS = 150
#: As many calls as a dispatch or a turn makes, and some more.
CALLS = 16


class Killed(BaseException):
    """Somebody is no more."""


class Stage:
    """Lets one actor at a time make one call.

    :param chance: of dying at each call.
    """

    def __init__(self, chooser: random.Random, chance: float = 0):
        self._random = chooser
        self._chance = chance
        self._turns: dict[int, threading.Semaphore] = {}
        self._done = threading.Semaphore(0)
        self._here = threading.local()

    def play(self, actors, schedule) -> None:
        """Let actors, functions, act: each goes on by one call when it comes next in `schedule`, a number of it.

        One that has returned or died begins anew then. Those who are in the middle of something at the end die.
        """
        living = {}
        for number in schedule:
            if number not in living:
                living[number] = self._start(number, actors[number])
            self._let(number)
            if not living[number].acts:
                del living[number]
        self._chance = 1
        for number in living:
            self._let(number)

    def _let(self, number):
        self._turns[number].release()
        self._done.acquire()

    def call(self, function, *arguments, **options):
        """A call that is made when its actor's time has come; called by what the actor does."""
        number = getattr(self._here, 'number', None)
        if number is None:
            return function(*arguments, **options)
        fate = self._random.random()
        if fate < self._chance / 2:
            raise Killed
        answer = function(*arguments, **options)
        if fate < self._chance:
            raise Killed
        self._done.release()
        self._turns[number].acquire()
        return answer

    def _start(self, number, actor):
        self._turns[number] = threading.Semaphore(0)
        thread = threading.Thread(target=self._act, args=(number, actor), daemon=True)
        thread.acts = True
        thread.start()
        return thread

    def _act(self, number, actor):
        self._here.number = number
        self._turns[number].acquire()
        with contextlib.suppress(Killed):
            actor()
        threading.current_thread().acts = False
        self._done.release()


class Port:
    def __init__(self, stage: Stage, inner):
        self._stage = stage
        self._inner = inner

    def __getattr__(self, verb):
        function = getattr(self._inner, verb)
        return lambda *arguments, **options: self._stage.call(function, *arguments, **options)


class Driver:
    def __init__(self, stage: Stage, inner):
        self.messages = Port(stage, inner.messages)
        self.records = Port(stage, inner.records)
        self.location = inner.location
        self.shared = True


class Hasty(lanes.Lanes):
    """Parks a lane by the record as it is then, and not as it was before the claim."""

    def park(self, lane, next_at):
        return super().park(self._find_again(lane) or lane, next_at)


class World:
    """A queue with subscribers, and the processes that serve it. `lost` says in the end what nobody was told of."""

    def __init__(self, stage: Stage, lanes_class: type, processes: int, names: str):
        self.clock = clock.Clock()
        self._lanes_class = lanes_class
        self._driver = drivers.build_memory()
        self._sender = subscribers.Sender(self._answer)
        self._told = set()
        self.expected = set()
        self.first = self._build(self._driver)
        self.first.queues.create(KEY, {})
        self._subscriptions = [
            subscribers.subscribe(self.first, KEY, self.clock(), f'http://{name}.example/').id for name in names
        ]
        self.processes = [self._build(Driver(stage, self._driver)) for _ in range(processes)]

    def _build(self, driver):
        services = bootstrap.build_services(driver, clock=self.clock, senders={'http': self._sender})
        services.lanes.__class__ = self._lanes_class
        return services

    def _answer(self, push):
        self._told.add(push.delivery_id)
        return base.Result(ok=True)

    def post(self, delay=0):
        posted = [messages.Posted(b'1', 1000, delay)]
        ids = self.first.messages.post(KEY, posted, b'', size=10)
        self.expected |= {deliveries.delivery_id(one, each) for one in self._subscriptions for each in ids}

    def dispatch(self, services):
        return services.notifications.dispatch(SHARD, self.clock())

    def deliver(self, services):
        due = services.lanes.find_due(self.clock(), 10)
        for lane in services.turns.take(due[:1]) if due else ():
            services.turns.run(lane)
        return due

    def lost(self):
        for _ in range(4):
            self.clock.advance(30)
            while self.dispatch(self.first):
                pass
            while self.deliver(self.first):
                pass
        return self.expected - self._told


SHARD = next(
    shard
    for shard in range(deliveries.OUTBOXES)
    if deliveries.outbox_key(shard) == notifications.outbox_of(KEY.project)
)


def play_at_random(seed):
    chooser = random.Random(seed)
    stage = Stage(chooser, chooser.choice([0, 0.01, 0.05]))
    world = World(stage, lanes.Lanes, 5, 'ab'[: chooser.choice([1, 2])])

    def post():
        stage.call(world.post, chooser.choice([0, 0, 0, 2]))

    def deliver(services):
        world.deliver(services)
        # So that what is delayed comes due, and what the dead held comes back.
        world.clock.advance(chooser.choice([0, 0, 0, 0, 0.25, 1, 10]))

    actors = [
        post,
        *(lambda services=services: world.dispatch(services) for services in world.processes[:2]),
        *(lambda services=services: deliver(services) for services in world.processes[2:]),
    ]
    stage.play(actors, [chooser.randrange(len(actors)) for _ in range(STEPS)])
    return world.lost()


def play_by_plan(before, between, lanes_class=lanes.Lanes):
    """A worker makes `before` calls, a dispatcher `between`, then each goes on to the end, the worker first."""
    stage = Stage(random.Random(0))
    world = World(stage, lanes_class, 2, 'a')
    world.post()
    world.dispatch(world.first)
    world.post()
    dispatcher, worker = world.processes
    is_done = []

    def deliver():
        if not is_done:
            world.deliver(worker)
            is_done.append(True)

    plan = [*[0] * before, *[1] * between, *[0] * CALLS, *[1] * CALLS]
    stage.play([deliver, lambda: world.dispatch(dispatcher)], plan)
    return world.lost()


class TestWakeUps(testtools.TestCase):
    def test_none_is_lost_by_chance(self):
        for seed in range(RUNS):
            self.assertEqual(set(), play_at_random(seed), f'play_at_random({seed})')

    def test_none_is_lost_wherever_a_dispatcher_meets_a_worker(self):
        for before in range(CALLS):
            for between in range(CALLS):
                self.assertEqual(set(), play_by_plan(before, between), f'play_by_plan({before}, {between})')

    def test_one_is_lost_where_a_worker_parks_by_a_newer_record(self):
        """These tests would notice."""
        plans = ((before, between) for before in range(CALLS) for between in range(CALLS))
        self.assertTrue(any(play_by_plan(*plan, Hasty) for plan in plans))
