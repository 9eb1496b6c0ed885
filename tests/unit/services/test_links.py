"""Confirmation links: each is for one subscriber of one subscription, and for nothing else."""

import msgspec
import testtools

from queueservice import bootstrap
from queueservice.model import queues, signatures
from queueservice.services import links, secrets, shares
from tests.fixtures import clock, drivers, subscriptions


class TestLinks(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.clock = clock.Clock()
        self.driver = drivers.build_memory()
        self.links = self.links_with()
        self.subscription = subscriptions.store(self.driver, subscriptions.build(confirmed=False))

    def links_with(self, *configured):
        signing = secrets.Signing(secrets.Secrets(self.driver, self.clock), configured)
        return links.Links(bootstrap.build_services(self.driver, clock=self.clock).subscriptions, signing, self.clock)

    def is_good(self, signed, method='PUT', path=None):
        return self.links.is_good(signed.grant, signed.signature, method, path or signed.grant.paths[0])

    def change(self, **fields):
        return subscriptions.store(self.driver, msgspec.structs.replace(self.subscription, **fields))

    def test_one_is_good_for_its_request_alone(self):
        signed = self.links.sign(self.subscription)
        self.assertEqual(self.subscription.id, signed.grant.link)
        self.assertTrue(self.is_good(signed))
        for method in ('GET', 'POST', 'PATCH', 'DELETE', 'HEAD'):
            self.assertFalse(self.is_good(signed, method))
        path = signed.grant.paths[0]
        for other in (path.removesuffix('/confirm'), f'{path}/', f'{path}/x', path.replace('demo', 'other')):
            self.assertFalse(self.is_good(signed, path=other))

    def test_it_ends_with_the_life_that_it_was_made_for(self):
        signed = self.links.sign(self.subscription)
        self.change(expires_at=self.subscription.expires_at + 1000)
        self.clock.advance(3599)
        self.assertTrue(self.is_good(signed))
        self.clock.advance(1)
        self.assertFalse(self.is_good(signed))

    def test_it_ends_with_its_subscription(self):
        signed = self.links.sign(self.subscription)
        self.change(expires_at=self.clock())
        self.assertFalse(self.is_good(signed))

    def test_a_link_of_an_earlier_address_is_not_good(self):
        signed = self.links.sign(self.subscription)
        changed = self.change(subscriber='https://example.org/other', nonce='m' * 24)
        self.assertFalse(self.is_good(signed))
        self.assertTrue(self.is_good(self.links.sign(changed)))

    def test_a_link_says_nothing_about_another_subscription_or_queue(self):
        signed = self.links.sign(self.subscription)
        other = subscriptions.store(self.driver, subscriptions.build('https://example.org/b', self.clock() + 1))
        for subscription in (
            other,
            msgspec.structs.replace(self.subscription, queue=self.subscription.queue._replace(name='other')),
            msgspec.structs.replace(self.subscription, queue=self.subscription.queue._replace(project='other')),
        ):
            grant = signatures.build_link(subscription.queue, subscription.id, subscription.expires_at)
            self.assertFalse(self.is_good(shares.Signed(grant, signed.signature)))
            moved = self.links.sign(msgspec.structs.replace(subscription, nonce=self.subscription.nonce))
            self.assertEqual(subscription is other, self.is_good(moved))

    def test_an_unknown_subscription_has_none(self):
        self.assertFalse(self.is_good(self.links.sign(subscriptions.build(now=self.clock() + 1))))

    def test_a_queue_of_another_namespace_has_none(self):
        signed = self.links.sign(self.subscription)
        self.change(queue=queues.QueueKey(queues.INTERNAL, 'project-1', 'demo'))
        self.assertFalse(self.is_good(signed))

    def test_what_signs_shares_signs_no_link(self):
        signing = secrets.Signing(secrets.Secrets(self.driver, self.clock), ())
        grant = self.links.sign(self.subscription).grant
        signature = signatures.sign(grant, signing.load()[0])
        self.assertFalse(self.is_good(shares.Signed(grant, signature)))

    def test_the_first_secret_signs_and_each_is_good(self):
        signed = self.links_with(b'old').sign(self.subscription)
        for configured, good in (((b'old',), True), ((b'new', b'old'), True), ((b'new',), False), ((), False)):
            self.links = self.links_with(*configured)
            self.assertEqual(good, self.is_good(signed))
