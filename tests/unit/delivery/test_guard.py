import socket
import threading
import time

import testtools

from queueservice.delivery import guard
from queueservice.model import deliveries, subscribers
from tests.fixtures import tables

RULES = deliveries.Rules()


def answer(*addresses):
    """A look-up that finds these."""

    def look_up(host, port, *arguments):
        return [
            (socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM, 6, '', (address, port))
            for address in addresses
        ]

    return look_up


def find(look_up, rules=RULES, uri='https://receiver.example:8443/'):
    url = subscribers.read_url(uri, rules)
    return guard.Guard(rules, look_up).find(url, time.monotonic() + 5)


class TestGuard(tables.Tables, testtools.TestCase):
    def test_finds_all_addresses_of_a_name_in_their_order(self):
        place = find(answer('2606:4700::1111', '8.8.8.8'))
        self.assertEqual(
            ((socket.AF_INET6, ('2606:4700::1111', 8443)), (socket.AF_INET, ('8.8.8.8', 8443))), place.addresses
        )
        self.assertFalse(place.internal)

    @tables.each(
        ('loopback', '127.0.0.1'),
        ('a private address', '10.1.2.3'),
        ('link-local', '169.254.169.254'),
        ('shared address space', '100.64.0.1'),
        ('multicast', '224.0.0.251'),
        ('unspecified', '0.0.0.0'),
        ('broadcast', '255.255.255.255'),
        ('IPv6 loopback', '::1'),
        ('IPv6 link-local with a zone', 'fe80::1%lo'),
        ('unique local', 'fd00::1'),
        ('mapped loopback', '::ffff:127.0.0.1'),
        ('6to4', '2002:7f00:1::1'),
        ('NAT64 of a private address', '64:ff9b::10.0.0.1'),
        ('local NAT64', '64:ff9b:1::8.8.8.8'),
        ('Teredo', '2001:0:4136:e378:8000:63bf:3fff:fdd2'),
    )
    def test_refuses_a_name_at(self, address):
        self.assertRaises(guard.Refused, find, answer(address))

    def test_refuses_a_name_with_one_forbidden_address_among_others(self):
        self.assertRaises(guard.Refused, find, answer('8.8.8.8', '2606:4700::1111', '10.0.0.1', '1.1.1.1'))

    def test_looks_names_up_again_each_time(self):
        answers = iter((['8.8.8.8'], ['127.0.0.1']))
        guarded = guard.Guard(RULES, lambda *arguments: answer(*next(answers))(*arguments))
        url = subscribers.read_url('http://rebound.example/', RULES)
        self.assertEqual('8.8.8.8', guarded.find(url, time.monotonic() + 5).addresses[0][1][0])
        self.assertRaises(guard.Refused, guarded.find, url, time.monotonic() + 5)

    def test_allowed_networks_open_what_they_hold(self):
        rules = deliveries.Rules(allowed_networks=('10.1.0.0/16', 'fd00::/8'))
        self.assertTrue(find(answer('10.1.2.3'), rules).internal)
        self.assertTrue(find(answer('::ffff:10.1.2.3'), rules).internal)
        self.assertTrue(find(answer('8.8.8.8', 'fd00::1'), rules).internal)
        self.assertFalse(find(answer('8.8.8.8'), rules).internal)
        self.assertRaises(guard.Refused, find, answer('10.2.0.1'), rules)
        self.assertRaises(guard.Refused, find, answer('10.1.2.3', '127.0.0.1'), rules)

    def test_addresses_are_not_looked_up(self):
        def look_up(*arguments):
            raise AssertionError(arguments)

        place = find(look_up, uri='http://134744072/')
        self.assertEqual(((socket.AF_INET, ('8.8.8.8', 80)),), place.addresses)

    def test_an_address_is_refused_though_another_rule_let_it_in(self):
        url = subscribers.read_url('http://127.0.0.1/', deliveries.Rules(allowed_networks=('127.0.0.0/8',)))
        self.assertRaises(guard.Refused, guard.Guard(RULES).find, url, time.monotonic() + 5)

    @tables.each(
        ('is unknown', socket.gaierror(socket.EAI_NONAME, 'unknown')),
        ('cannot be looked up now', socket.gaierror(socket.EAI_AGAIN, 'again')),
        ('cannot be encoded', UnicodeError('label empty or too long')),
    )
    def test_says_that_a_name(self, error):
        def look_up(*arguments):
            raise error

        self.assertRaises(guard.NotFound, find, look_up)

    def test_a_look_up_that_hangs_is_given_up(self):
        hanging = threading.Event()
        self.addCleanup(hanging.set)
        guarded = guard.Guard(RULES, lambda *arguments: hanging.wait())
        url = subscribers.read_url('http://hanging.example/', RULES)
        began = time.monotonic()
        self.assertRaises(guard.NotFound, guarded.find, url, began + 0.1)
        self.assertLess(time.monotonic() - began, 20)


class TestThreads(testtools.TestCase):
    def test_there_are_no_more_than_allowed_and_they_are_used_again(self):
        seen, hanging = set(), threading.Event()
        self.addCleanup(hanging.set)
        threads = guard.Threads(2)
        self.assertRaises(TimeoutError, threads.run, 0.05, hanging.wait)
        for _ in range(20):
            threads.run(5, lambda: seen.add(threading.get_ident()))
        self.assertEqual(1, len(seen))
        self.assertRaises(TimeoutError, threads.run, 0.05, hanging.wait)
        self.assertRaises(TimeoutError, threads.run, 0.05, seen.clear)  # both hang
        hanging.set()
        self.assertEqual(3, threads.run(5, lambda: 3))
        # What nobody waited for any more was not done.
        self.assertEqual(1, len(seen))
