"""The SQLite driver keeps the contract."""

import tempfile

import testtools

from tests.contract import concurrency, machine, message_store, record_store
from tests.fixtures import drivers


class SQLite:
    synchronous = 'full'

    def make_driver(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return drivers.build_sqlite(folder.name, self.synchronous)


class MessageStoreTest(SQLite, message_store.MessageStoreContract, testtools.TestCase):
    pass


class RecordStoreTest(SQLite, record_store.RecordStoreContract, testtools.TestCase):
    pass


class MachineTest(SQLite, machine.MachineContract, testtools.TestCase):
    synchronous = 'normal'  # the same answers, sooner


class ThreadsTest(SQLite, concurrency.ThreadsContract, testtools.TestCase):
    pass


class ProcessesTest(SQLite, concurrency.ProcessesContract, testtools.TestCase):
    pass


class NormalProcessesTest(ProcessesTest):
    """Another way to commit is another timing."""

    synchronous = 'normal'
