"""The oracle keeps the contract itself."""

import hypothesis
import testtools

from tests.contract import machine, message_store, model, record_store


class MessageStoreTest(message_store.MessageStoreContract, testtools.TestCase):
    def make_driver(self):
        return model.Driver()


class RecordStoreTest(record_store.RecordStoreContract, testtools.TestCase):
    def make_driver(self):
        return model.Driver()


class MachineTest(machine.MachineContract, testtools.TestCase):
    def setUp(self):
        super().setUp()
        # It agrees with itself: this is about the machine.
        self.patch(machine, 'SETTINGS', hypothesis.settings(machine.SETTINGS, max_examples=10))

    def make_driver(self):
        return model.Driver()
