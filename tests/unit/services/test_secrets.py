"""Secrets of the service's own: made once, and the same for everybody."""

import concurrent.futures
import tempfile
import threading

import testtools

from queueservice.services import secrets
from tests.fixtures import clock, drivers, faulty


class TestSecrets(testtools.TestCase):
    def test_one_is_long_random_and_stays(self):
        driver = drivers.build_memory()
        first = secrets.Secrets(driver, clock.Clock()).load('a')
        self.assertEqual(32, len(first))
        self.assertEqual(first, secrets.Secrets(driver, clock.Clock()).load('a'))
        self.assertNotEqual(first, secrets.Secrets(driver, clock.Clock()).load('b'))
        self.assertNotEqual(first, secrets.Secrets(drivers.build_memory(), clock.Clock()).load('a'))

    def test_the_store_is_asked_once(self):
        driver = faulty.Driver()
        own = secrets.Secrets(driver, clock.Clock())
        first = own.load('a')
        driver.fail()
        self.assertEqual(first, own.load('a'))

    def test_those_who_begin_together_have_the_same(self):
        for folder in (tempfile.TemporaryDirectory() for _ in range(5)):
            with folder, concurrent.futures.ThreadPoolExecutor(8) as pool:
                stores = [drivers.build_sqlite(folder.name) for _ in range(8)]
                together = threading.Barrier(8)

                def load(driver, together=together):
                    together.wait()
                    return secrets.Secrets(driver, clock.Clock()).load('a')

                found = set(pool.map(load, stores))
                for driver in stores:
                    driver.close()
            self.assertEqual(1, len(found))

    def test_whoever_is_late_takes_what_is_there(self):
        """Both see that there is none, and only one can be the first."""
        driver = faulty.Driver()
        first = secrets.Secrets(driver, clock.Clock()).load('a')

        class Late(secrets.Secrets):
            def load(self, name):
                return self._make(name)

        self.assertEqual(first, Late(driver, clock.Clock()).load('a'))
