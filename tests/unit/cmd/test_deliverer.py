"""The process that delivers is told to end, whenever that is."""

import signal
import time

import testtools

from queueservice.cmd import deliverer


class TestTold(testtools.TestCase):
    def test_a_process_that_has_just_been_made_hears_it(self):
        # What a server does with the signal would be inherited.
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        child = deliverer.Deliverer(lambda: time.sleep(60))
        for _ in range(5):
            child.replace()
            began = time.monotonic()
            child.tell()
            child.wait(30)
            self.assertLess(time.monotonic() - began, 20)
