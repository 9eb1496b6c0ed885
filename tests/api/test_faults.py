"""Where the storage fails, every route answers 503 with Retry-After; nothing is acknowledged, nothing is 500."""

import itertools

from queueservice.api import routes
from queueservice.api.resources import base as resources
from tests.api import base, walk
from tests.fixtures import faulty, services, tables

#: These answer without the storage (a share as soon as the secret is known), or tell of its state.
_WITHOUT_STORAGE = {('HEAD', '/ping'), ('GET', '/health'), ('POST', '/queues/{queue_name}/share')}


class FaultTestCase(walk.WalkTestCase):
    settings = {'admin_mode': True}

    def make_driver(self):
        return faulty.Driver()

    def setUp(self):
        super().setUp()
        self.driver = self.service.driver

    def start_anew(self, step):
        """A filled service on a driver of its own; the fields of requests to it. It remembers nothing of them."""
        self.driver = faulty.Driver()
        self.version = version = step.version
        self.use(services.Service(self.driver, **self.settings, versions=(version,)))
        fields = self.fill_for(step)
        self.use(services.Service(self.driver, **self.settings, versions=(version,)))
        self.driver.calls.clear()
        return fields


class TestEveryRoute(FaultTestCase):
    @tables.each(*walk.steps())
    def test_it_answers_503_where_nothing_works(self, step):
        fields = self.fill_for(step)
        self.assertIn(self.take(step, fields).status_int, (200, 201, 202, 204))
        self.driver.fail()
        self.clock.advance(1)  # a good answer to a ping is believed for so long
        answer = self.take(step, fields)
        if (step.method, step.route) in _WITHOUT_STORAGE:
            self.assertIn(answer.status_int, (200, 204))
            return
        self.assertEqual(503, answer.status_int)
        if step.method != 'HEAD':
            self.assertIn('Please try again in a few seconds.', base.description(answer))
            self.assertNotIn('told to', answer.text)

    @tables.each(*walk.steps())
    def test_it_answers_503_at_whatever_step_of_its_work_the_storage_fails(self, step):
        self.assertLess(self.take(step, self.start_anew(step)).status_int, 300)
        calls = len(self.driver.calls)
        for late in (False, True):
            for number in range(1, calls + 1):
                fields = self.start_anew(step)
                self.driver.fail(on_call=number, late=late)
                status = self.take(step, fields).status_int
                self.assertEqual(200 if step.route == '/health' else 503, status)
                self.driver.heal()
                self.assertLess(self.take(step, fields).status_int, 500)


class TestPublicRoutes(FaultTestCase):
    def test_readiness_is_503(self):
        self.driver.fail('ping')
        for path in ('/readyz', '/v1/health'):
            self.assertTrue(self.app.get(path, status=503).headers['Retry-After'])
            self.app.head(path, status=204)

    def test_liveness_and_documents_do_not_depend_on_the_storage(self):
        self.driver.fail()
        self.app.get('/healthz', status=200)
        self.app.get('/', status=300)
        self.app.get('/v3/', status=200)
        for version in routes.ORDER:
            self.version = version
            self.get('/', status=200)

    def test_no_other_route_is_public(self):
        public = {
            route.path
            for route in (*routes.PUBLIC_ROUTES, *itertools.chain.from_iterable(map(routes.served, routes.APIS)))
            if issubclass(route.resource, resources.PublicResource)
        }
        self.assertEqual({'/healthz', '/readyz', '/health', '/media/{file_token}/{file_name}'}, public)


class TestReport(FaultTestCase):
    def test_it_tells_that_the_storage_does_not_answer(self):
        self.driver.fail()
        self.assertEqual({'storage_reachable': False, 'operation_status': {}}, self.get('/health', status=200).json)

    def test_it_tells_what_failed(self):
        self.driver.fail('messages.claim')
        status = self.get('/health', status=200).json['operation_status']
        self.assertEqual(['claim_messages'], [name for name, one in status.items() if not one['succeeded']])


class TestAfterwards(FaultTestCase):
    def post_one(self, status, **headers):
        self.post('/queues/demo/messages', {'messages': [{'body': 1}]}, headers=headers, status=status)

    def test_a_post_that_failed_is_not_stored(self):
        self.driver.fail('messages.append')
        self.post_one(503)
        self.driver.heal()
        self.assertEqual((0, 0, 0), self.counts())

    def test_a_keyed_post_whose_answer_was_lost_is_stored_once(self):
        key = {'Idempotency-Key': 'k'}
        self.driver.fail('messages.append', late=True)
        self.post_one(503, **key)
        self.driver.heal()
        self.post_one(201, **key)
        self.assertEqual((0, 1, 1), self.counts())

    def test_a_claim_answers_though_its_dead_letters_cannot_be_moved(self):
        self.make_queue(metadata={'_dead_letter_queue': 'dead', '_max_claim_count': 1})
        self.post_messages('poison')
        self.release(self.claim()[0])
        self.post_messages('good')
        self.driver.fail('messages.append')
        self.assertEqual(['good'], base.bodies(self.claim()[1]))
        self.driver.heal()
        self.assertEqual([], self.list_bodies('dead'))

        self.clock.advance(60)
        self.claim()
        self.assertEqual(['poison'], self.list_bodies('dead'))

    def test_dead_letters_whose_move_was_cut_off_are_moved_once(self):
        self.make_queue(metadata={'_dead_letter_queue': 'dead', '_max_claim_count': 1})
        self.post_messages('poison')
        self.release(self.claim()[0])
        self.driver.fail('messages.delete')
        self.assertEqual((None, []), self.claim())
        self.driver.heal()
        self.clock.advance(60)
        self.assertEqual((None, []), self.claim())
        self.assertEqual(['poison'], self.list_bodies('dead'))
        self.assertEqual((0, 0, 0), self.counts())
