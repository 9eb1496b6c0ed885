"""The MongoDB driver keeps the contract, also where a command of many documents is done in pieces.

HYPOTHESIS_MAX_EXAMPLES and HYPOTHESIS_STEPS make more and longer random histories than those that run by default:
each step is several round trips here. For the same reason those that fail are not made shorter.

QUEUESERVICE_TEST_TORN=1 lets the whole contract and many actors at once meet commands done in pieces, instead of those
sentences alone that are about several pieces. That takes some minutes and is for changes of the driver.
"""

import os
import re
import unittest

import hypothesis
import testtools

from queueservice.storage.drivers.mongodb import log
from tests.contract import concurrency, machine, message_store, record_store
from tests.fixtures import mongodb, torn

#: What is done in several pieces.
_PIECES = re.compile('batch|derived|sweep|clear|dead_messages|changes|all_are_deleted|repeated|after_every_verb')


class MongoDB:
    #: Each costs a millisecond and more, whatever is done to it.
    MANY = 300
    SHARE = 0.5

    def make_driver(self):
        self.patch(log, 'SLICE', 50)
        return self.build_driver()

    def build_driver(self):
        return mongodb.build_driver(self)


class Torn(MongoDB):
    def build_driver(self):
        name = mongodb.make_name(self)
        proxy = torn.Proxy(mongodb.client().address)
        self.addCleanup(proxy.__exit__)
        proxy.__enter__()
        return mongodb.build_driver(self, mongodb.locate(name, proxy.port))


class MessageStoreTest(MongoDB, message_store.MessageStoreContract, testtools.TestCase):
    pass


class RecordStoreTest(MongoDB, record_store.RecordStoreContract, testtools.TestCase):
    pass


class MachineTest(MongoDB, machine.MachineContract, testtools.TestCase):
    def setUp(self):
        super().setUp()
        fewer = hypothesis.settings(
            machine.SETTINGS,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate],
            max_examples=int(os.environ.get('HYPOTHESIS_MAX_EXAMPLES', 12)),
            stateful_step_count=int(os.environ.get('HYPOTHESIS_STEPS', 40)),
        )
        self.patch(machine, 'SETTINGS', fewer)


class ThreadsTest(MongoDB, concurrency.ThreadsContract, testtools.TestCase):
    pass


class ProcessesTest(MongoDB, concurrency.ProcessesContract, testtools.TestCase):
    pass


class TornMessageStoreTest(Torn, message_store.MessageStoreContract, testtools.TestCase):
    pass


if os.environ.get('QUEUESERVICE_TEST_TORN'):

    class TornThreadsTest(Torn, concurrency.ThreadsContract, testtools.TestCase):
        pass

    class TornProcessesTest(Torn, concurrency.ProcessesContract, testtools.TestCase):
        pass

else:
    for name in unittest.defaultTestLoader.getTestCaseNames(TornMessageStoreTest):
        if not _PIECES.search(name):
            setattr(TornMessageStoreTest, name, None)
