"""The memory driver keeps the contract."""

import testtools

from tests.contract import concurrency, machine, message_store, record_store
from tests.fixtures import drivers


class Memory:
    def make_driver(self):
        return drivers.build_memory()


class MessageStoreTest(Memory, message_store.MessageStoreContract, testtools.TestCase):
    pass


class RecordStoreTest(Memory, record_store.RecordStoreContract, testtools.TestCase):
    pass


class MachineTest(Memory, machine.MachineContract, testtools.TestCase):
    pass


class ThreadsTest(Memory, concurrency.ThreadsContract, testtools.TestCase):
    pass
