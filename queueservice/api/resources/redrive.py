"""Dead letters go back to the queues that they came from."""

import msgspec

from queueservice.api import media, operations
from queueservice.api.resources import base
from queueservice.api.schemas import redrive as schemas

_REDRIVE = msgspec.json.Decoder(schemas.RedriveIn)


class QueueRedrive(base.Resource):
    policies = {'POST': 'queues:redrive'}

    @staticmethod
    def operations(dialect):
        return {
            'POST': operations.Operation(takes=schemas.RedriveIn, required=False, answers={200: schemas.RedriveOut})
        }

    def on_post(self, req, resp, queue_name):
        raw = media.read(req, self.services.limits.max_queue_metadata, name='max_queue_metadata')
        wanted = media.decode(raw, _REDRIVE) if raw else schemas.RedriveIn()
        done = self.services.redrive.move(req.context.queue, wanted.limit)
        self.audit(req, 'queue.redrive', queue=queue_name, moved=done.moved)
        stayed = schemas.StayedOut(done.no_dead_letter, done.queue_gone, done.encryption)
        resp.data = media.encode(schemas.RedriveOut(done.moved, done.left, stayed))
