"""The oracle keeps the contract itself."""

import testtools

from tests.contract import machine, message_store, model, record_store


class MessageStoreTest(message_store.MessageStoreContract, testtools.TestCase):
    def make_driver(self):
        return model.Driver()


class RecordStoreTest(record_store.RecordStoreContract, testtools.TestCase):
    def make_driver(self):
        return model.Driver()


class MachineTest(machine.MachineContract, testtools.TestCase):
    def make_driver(self):
        return model.Driver()
