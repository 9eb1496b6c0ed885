"""Pre-signed URLs of a queue."""

import typing

import msgspec

from queueservice.api import media, operations
from queueservice.api.resources import base
from queueservice.api.schemas import shares as schemas

_SHARE = msgspec.json.Decoder(schemas.ShareIn)
_CHOICES = {'paths': typing.get_args(schemas.Resource), 'methods': typing.get_args(schemas.Method)}


class QueueShare(base.Resource):
    policies = {'POST': 'queues:share'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(takes=schemas.ShareIn, answers={200: schemas.ShareOut})}

    def on_post(self, req, resp, queue_name):
        raw = media.read(req, self.services.limits.max_queue_metadata, name='max_queue_metadata')
        wanted = media.decode(raw, _SHARE, _CHOICES)
        signed = self.services.shares.sign(req.context.queue, wanted.paths, wanted.methods, wanted.expires)
        grant = signed.grant
        self.audit(
            req, 'queue.share', queue=queue_name, paths=grant.paths, methods=grant.methods, expires=grant.expires
        )
        resp.data = media.encode(
            schemas.ShareOut(grant.paths, grant.methods, grant.project, grant.expires, signed.signature)
        )
