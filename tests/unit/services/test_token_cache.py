"""How long, how many and how often: what is remembered of tokens."""

import threading
from unittest import mock

import testtools

from queueservice.services import token_cache
from tests.fixtures import clock


class TestTokenCache(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.cache = token_cache.TokenCache(self.clock, 300)
        self.asked = []
        self.known = {'a': ('A', None), 'b': ('B', None)}

    def find(self, token):
        def ask():
            self.asked.append(token)
            return self.known.get(token)

        return self.cache.find(token, ask)

    def test_a_good_answer_lasts_as_long_as_it_may(self):
        self.assertEqual('A', self.find('a'))
        del self.known['a']
        self.clock.advance(299)
        self.assertEqual('A', self.find('a'))
        self.clock.advance(1)
        self.assertIsNone(self.find('a'))

    def test_no_longer_than_the_token(self):
        self.known['a'] = 'A', self.clock() + 20
        self.find('a')
        self.clock.advance(19)
        self.assertEqual('A', self.find('a'))
        self.clock.advance(1)
        self.known['a'] = None
        self.assertIsNone(self.find('a'))

    def test_a_token_that_has_ended_is_none(self):
        self.known['a'] = 'A', self.clock()
        self.assertIsNone(self.find('a'))

    def test_a_bad_answer_lasts_ten_seconds(self):
        self.assertIsNone(self.find('x'))
        self.known['x'] = 'X', None
        self.clock.advance(9)
        self.assertIsNone(self.find('x'))
        self.clock.advance(1)
        self.assertEqual('X', self.find('x'))

    def test_a_clock_that_was_set_back_makes_nothing_last(self):
        self.find('a')
        self.clock.advance(-3600)
        self.find('a')
        self.assertEqual(['a', 'a'], self.asked)

    def test_an_error_is_not_remembered(self):
        def fail():
            raise OSError

        self.assertRaises(OSError, self.cache.find, 'a', fail)
        self.assertEqual('A', self.find('a'))

    def test_inventions_do_not_crowd_out_what_is_good(self):
        with mock.patch.object(token_cache, '_REMEMBERED', 2), mock.patch.object(token_cache, '_REMEMBERED_BAD', 2):
            for token in ('a', 'x', 'y', 'z'):
                self.find(token)
            self.asked.clear()
            for token in ('a', 'z', 'y', 'x'):
                self.find(token)
        self.assertEqual(['x'], self.asked)

    def test_of_too_many_the_oldest_is_forgotten(self):
        self.known['c'] = 'C', None
        with mock.patch.object(token_cache, '_REMEMBERED', 2):
            for token in ('a', 'b', 'c'):
                self.find(token)
            self.asked.clear()
            for token in ('c', 'b', 'a'):
                self.find(token)
        self.assertEqual(['a'], self.asked)

    def test_the_tokens_themselves_are_not_kept(self):
        for token in ('a', 'secret'):
            self.find(token)
        self.assertNotIn('secret', str(vars(self.cache)))

    def test_of_many_who_ask_at_once_one_finds_out(self):
        self._ask_at_once(lambda: ('A', None))
        self.assertEqual(['A'] * 5, self.answers)
        self.assertEqual(1, len(self.asked))

    def test_what_stops_one_stops_those_who_wait_for_it(self):
        self._ask_at_once(lambda: 1 / 0)
        self.assertEqual(['ZeroDivisionError'] * 5, self.answers)
        self.assertEqual(1, len(self.asked))
        self.assertEqual('A', self.find('a'))

    def _ask_at_once(self, answer):
        self.answers = []
        may_go = threading.Event()

        def ask():
            self.asked.append('a')
            self.assertTrue(may_go.wait(10))
            return answer()

        def find():
            try:
                self.answers.append(self.cache.find('a', ask))
            except ZeroDivisionError as error:
                self.answers.append(type(error).__name__)

        threads = [threading.Thread(target=find) for _ in range(5)]
        waiting = threading.Semaphore(0)
        original = token_cache.concurrent.futures.Future.result

        def result(future, *arguments):
            waiting.release()
            return original(future, *arguments)

        with mock.patch.object(token_cache.concurrent.futures.Future, 'result', result):
            for thread in threads:
                thread.start()
            for _ in threads[1:]:
                self.assertTrue(waiting.acquire(timeout=10))
            may_go.set()
            for thread in threads:
                thread.join(10)
