import os
import types

import testtools

from queueservice.api.middleware import context, identity


class TestRequestIds(testtools.TestCase):
    def take(self):
        """The id of a request that comes now."""
        middleware = context.ContextMiddleware(identity.Authentication(identity.NOAUTH, None), False, context.read_uuid)
        request = types.SimpleNamespace(context=types.SimpleNamespace(), path='/v2/queues/demo', env={})
        middleware.process_request(request, types.SimpleNamespace(set_header=lambda *_: None))
        return request.context.request_id

    def test_they_differ_within_a_process(self):
        self.assertEqual(100, len({self.take() for _ in range(100)}))

    def test_they_differ_from_those_of_a_forked_process(self):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, self.take().encode())
            os._exit(0)
        os.close(writer)
        theirs = os.read(reader, 1000).decode()
        os.close(reader)
        os.waitpid(child, 0)
        self.assertNotEqual(self.take()[:17], theirs[:17])


class TestClients(testtools.TestCase):
    def test_two_spellings_of_a_uuid_are_one_client(self):
        spellings = ('3381af92-2b9e-11e3-b191-71861300734c', '{3381AF922B9E11E3B19171861300734C}')
        self.assertEqual(1, len({context.read_uuid(text) for text in spellings}))
