"""Log lines: one line each whoever had a say in it, with the ids of the request, in text and in JSON."""

import io
import json
import logging
import sys
import threading

import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice import logs
from tests.fixtures import tables

_FORGED = '\n2026-11-22T00:00:00.000+00:00 1 INFO queueservice.audit [-] {"action": "queue.delete"}'


def write(formatter, message, *arguments, name='queueservice.x', **options):
    """What a handler with this formatter writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.Logger(name)
    logger.addHandler(handler)
    logger.warning(message, *arguments, **options)
    return stream.getvalue()


def fail(text):
    """The exc_info of an error that says `text`."""
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


class LogsTestCase(tables.Tables, testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.addCleanup(logs.begin_request, None, None)
        logs.begin_request('req-1', 'theirs')


class TestText(LogsTestCase):
    def test_a_line_says_when_where_and_for_whom(self):
        line = write(logs.TextFormatter(), 'It is %s', 'so')
        self.assertRegex(
            line,
            r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 \d+ WARNING queueservice\.x \[req-1 theirs\] It is so\n$',
        )

    @tables.each(
        ('a line feed', '\n', r'\u000a'),
        ('a carriage return', '\r', r'\u000d'),
        ('an escape', '\x1b[2J', r'\u001b[2J'),
        ('a backspace', '\x08', r'\u0008'),
        ('a delete character', '\x7f', r'\u007f'),
        ('another line feed', '\x85', r'\u0085'),
        ('a line separator', '\u2028', r'\u2028'),
        ('an override of direction', '\u202e', r'\u202e'),
        ('half a character', '\ud800', r'\ud800'),
    )
    def test_it_escapes(self, character, escaped):
        self.assertIn(f'a{escaped}b\n', write(logs.TextFormatter(), 'a%sb', character))

    @given(st.text())
    def test_a_record_is_one_line(self, text):
        self.assertEqual(1, len(write(logs.TextFormatter(), '%s', text).splitlines()))

    @given(st.text())
    def test_no_line_of_a_traceback_looks_like_a_record(self, text):
        first, *more = write(logs.TextFormatter(), 'failed', exc_info=fail(text + _FORGED)).splitlines()
        self.assertTrue(first.endswith('failed'))
        self.assertEqual([], [line for line in more if not line.startswith('    | ')])

    def test_long_texts_are_cut(self):
        self.assertLess(len(write(logs.TextFormatter(), '%s', 'x' * 10**6)), 5000)
        self.assertLess(len(write(logs.TextFormatter(), 'failed', exc_info=fail('x' * 10**6))), 6000)


class TestJson(LogsTestCase):
    def write(self, *arguments, **options):
        return json.loads(write(logs.JsonFormatter(), *arguments, **options))

    def test_a_line_is_an_object(self):
        line = self.write('It is %s', 'so')
        self.assertEqual({'time', 'process', *list(line)[2:]}, set(line))
        self.assertEqual(
            {
                'level': 'WARNING',
                'logger': 'queueservice.x',
                'request_id': 'req-1',
                'client_request_id': 'theirs',
                'message': 'It is so',
            },
            {name: value for name, value in line.items() if name not in ('time', 'process')},
        )

    def test_facts_are_fields(self):
        facts = {'audit': {'project': 'a"\nb'}}
        self.assertEqual(facts['audit'], self.write('x', extra={'facts': facts})['audit'])

    def test_a_traceback_is_a_list_of_lines(self):
        lines = self.write('failed', exc_info=fail(f'x{_FORGED}'))['exception']
        self.assertEqual('Traceback (most recent call last):', lines[0])
        self.assertEqual('ValueError: x', lines[-2])

    @given(st.text(), st.dictionaries(st.text(), st.text() | st.binary()))
    def test_a_record_is_one_line_of_printable_ascii(self, text, facts):
        raw = write(logs.JsonFormatter(), '%s', text, extra={'facts': {'audit': facts}}, exc_info=fail(text))
        self.assertRegex(raw, r'\A[ -~]*\n\Z')
        json.loads(raw)


class TestRequestIds(LogsTestCase):
    @tables.each(
        ('blanks', 'a b'),
        ('a line feed', 'a\nb'),
        ('65 characters', 'x' * 65),
        ('quotes', '"'),
        ('brackets', '] [req-0'),
        ('letters outside ascii', 'é'),
        ('nothing', ''),
    )
    def test_the_client_s_is_left_out_with(self, theirs):
        logs.begin_request('req-1', theirs)
        self.assertEqual(('req-1', None), logs.request_ids())
        self.assertIn('[req-1]', write(logs.TextFormatter(), 'x'))

    def test_the_client_s_may_be_long(self):
        logs.begin_request('req-1', 'req-' + 'x' * 60)
        self.assertEqual(('req-1', 'req-' + 'x' * 60), logs.request_ids())

    def test_a_thread_that_answers_no_request_has_none(self):
        lines = []
        thread = threading.Thread(target=lambda: lines.append(write(logs.TextFormatter(), 'x')))
        thread.start()
        thread.join()
        self.assertIn(' [-] x', lines[0])

    def test_lines_of_others_have_none(self):
        # Their threads may be between two requests.
        self.assertIn(' [-] x', write(logs.TextFormatter(), 'x', name='gunicorn.error'))


class TestSetup(LogsTestCase):
    def setUp(self):
        super().setUp()
        self.handler = logging.StreamHandler(io.StringIO())
        logging.getLogger().addHandler(self.handler)
        self.addCleanup(logging.getLogger().removeHandler, self.handler)
        self.addCleanup(logs.setup, False)

    def test_every_handler_writes_our_lines(self):
        logs.setup(True)
        self.assertIsInstance(self.handler.formatter, logs.JsonFormatter)
        self.assertIs(self.handler.formatter, logs.formatter())
        logs.setup(False)
        self.assertIsInstance(self.handler.formatter, logs.TextFormatter)

    def test_libraries_do_not_write_what_they_send(self):
        """The driver of MongoDB logs its commands, with the bodies in them, where it is asked for details."""
        root = logging.getLogger()
        self.addCleanup(root.setLevel, root.level)
        root.setLevel(logging.DEBUG)
        logs.setup(False)
        for name in ('pymongo.command', 'urllib3.connectionpool', 'keystoneauth.session'):
            self.assertFalse(logging.getLogger(name).isEnabledFor(logging.DEBUG), name)
