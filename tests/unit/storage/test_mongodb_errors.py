"""What errors of MongoDB say in the log."""

import testtools
from pymongo import errors

from queueservice.storage.drivers.mongodb import database


class TestErrors(testtools.TestCase):
    def test_they_say_what_happened_and_not_to_which_document(self):
        document = {'body': b'what the message says'}
        result = {'writeErrors': [{'index': 0, 'code': 11000, 'errmsg': 'E11000', 'op': document}], 'nInserted': 0}
        for error in (
            errors.BulkWriteError(result),
            errors.WriteError('not done', 11000, {'keyValue': document}),
            errors.OperationFailure('not done', 1, {'document': document}),
        ):
            self.assertIn('what the message says', str(error))
            self.assertNotIn('what the message says', database.describe(error))
            self.assertNotEqual('', database.describe(error))
