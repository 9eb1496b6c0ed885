import testtools
from hypothesis import given
from hypothesis import strategies as st

from queueservice.model import errors, queues
from tests.fixtures import tables

ALLOWED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-'


class TestNames(tables.Tables, testtools.TestCase):
    @given(st.text(ALLOWED, min_size=3, max_size=64))
    def test_takes_every_name_of_the_allowed_characters(self, name):
        if set(name) != {'.'}:
            self.assertEqual(name, queues.check_name(name))

    def test_three_dots_are_a_name(self):
        self.assertEqual('...', queues.check_name('...'))

    @tables.each(
        ('that is empty', ''),
        ('of 65 characters', 'a' * 65),
        ('with a blank', 'a b'),
        ('with a slash', 'a/b'),
        ('with a line break at its end', 'a\n'),
        ('with a nul', 'a\0'),
        ('with a letter outside ASCII', 'ä'),
        ('with a digit outside ASCII', '٣'),
        ('with an asterisk', '*'),
        ('with a percent sign', '%41'),
        ('that a proxy folds as one dot', '.'),
        ('that a proxy folds as two dots', '..'),
    )
    def test_refuses_a_name(self, name):
        self.assertRaises(errors.NameInvalid, queues.check_name, name)


class TestProjects(tables.Tables, testtools.TestCase):
    @given(st.text(st.characters(exclude_categories=['C']), min_size=1, max_size=256))
    def test_takes_any_characters_that_can_be_seen(self, project):
        if ',' not in project and '�' not in project:
            self.assertEqual(project, queues.check_project(project))

    @tables.each(
        ('of 257 characters', 'a' * 257),
        ('that came twice', 'a, b'),
        ('with a line break', 'a\nb'),
        ('with a nul', 'a\0'),
        ('with a C1 control character', 'a\x85'),
        ('that was not UTF-8', 'a�'),
    )
    def test_refuses_a_project(self, project):
        self.assertRaises(errors.NameInvalid, queues.check_project, project)

    def test_refuses_an_empty_project(self):
        self.assertRaises(errors.HeaderInvalid, queues.check_project, '')


class TestKeys(testtools.TestCase):
    def test_namespaces_keep_queues_of_one_name_apart(self):
        keys = {
            queues.check_key(namespace, '', 'demo') for namespace in (queues.PROJECT, queues.SHARED, queues.INTERNAL)
        }
        self.assertEqual(3, len(keys))

    def test_a_key_has_a_proper_name(self):
        self.assertRaises(errors.NameInvalid, queues.check_key, queues.PROJECT, 'p', 'a b')
