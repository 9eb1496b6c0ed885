"""Limits of single projects."""

import testtools

from queueservice.model import errors, queues, quotas
from queueservice.services import quotas as quotas_service
from queueservice.storage import errors as storage_errors
from queueservice.storage import tables
from tests.fixtures import clock, faulty


class TestLimits(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = faulty.Driver()
        self.quotas = self.build()

    def build(self, **limits):
        return quotas_service.Quotas(self.driver, quotas.Quotas(**limits), self.clock)

    def find(self, project='project-1', namespace=queues.PROJECT):
        return self.quotas.find(namespace, project, self.clock())

    def test_they_are_read_once_in_five_seconds(self):
        self.quotas.change('project-1', {'messages': 5})
        self.find()
        self.clock.advance(5)
        self.driver.calls.clear()
        for _ in range(10):
            self.assertEqual(5, self.find().messages)
        self.assertEqual(['records.count', 'records.find'], self.driver.calls)

    def test_they_are_for_projects_alone(self):
        self.quotas.change('project-1', {'messages': 5})
        for namespace in (queues.SHARED, queues.INTERNAL):
            self.assertEqual(quotas.Quotas(), self.find(namespace=namespace))

    def test_a_change_that_is_refused_is_not_stored(self):
        self.assertRaises(errors.BodyInvalid, self.quotas.change, 'project-1', {'messages': -1})
        self.assertEqual(quotas.Quotas(), self.quotas.get('project-1'))

    def test_without_limits_of_its_own_a_project_leaves_no_record(self):
        self.quotas.change('project-1', {'messages': 5})
        self.quotas.change('project-1', {'messages': None})
        self.assertEqual(0, self.driver.records.count(tables.LIMITS, (), 10))
        self.clock.advance(5)
        self.assertFalse(self.quotas.are_off())  # it has not looked since
        self.find()
        self.assertTrue(self.quotas.are_off())

    def test_what_a_later_release_has_stored_is_passed_over(self):
        record = {'namespace': queues.PROJECT, 'project': 'project-1', 'limits': b'{"messages":5,"topics":1}'}
        self.driver.records.insert(tables.LIMITS, [record])
        self.assertEqual(quotas.Quotas(messages=5), self.quotas.get('project-1'))

    def test_limits_that_never_come_to_rest_are_unavailable(self):
        self.driver.records.replace = lambda table, records: [storage_errors.Stale()]
        self.quotas.change('project-1', {'messages': 5})
        self.assertRaises(storage_errors.Unavailable, self.quotas.change, 'project-1', {'messages': 6})

    def test_a_store_that_does_not_answer_is_asked_again(self):
        self.driver.fail()
        self.assertRaises(storage_errors.Unavailable, self.find)
        self.driver.heal()
        self.assertEqual(quotas.Quotas(), self.find())
