"""Claims on messages of a queue."""

import falcon

from queueservice.api import links, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import claims as schemas

#: Bytes that a claim's document may have (it holds two numbers), and what it is called where it is larger.
_SIZE = 64 * 1024, 'A claim', 'not to be configured'


_LIMIT = params.Integer('limit', 'The most messages to claim.', 'claim_limit')


class ClaimCollection(base.Resource):
    policies = {'POST': 'claims:create'}

    @staticmethod
    def operations(dialect):
        return {
            'POST': operations.Operation(
                query=(_LIMIT,),
                takes=dialect.claim_in,
                required=not dialect.claim_defaults,
                answers={201: dialect.bare_out, 204: None},
            )
        }

    def on_post(self, req, resp, queue_name):
        ttl, grace = self.dialect.read_claim(media.read(req, *_SIZE))
        held = self.services.claims.create(req.context.queue, ttl, grace, _LIMIT.read(req))
        if held is None:
            resp.status = falcon.HTTP_204
            return
        path = links.queue(req, queue_name)
        resp.data = self.dialect.bare(path, held.listed)
        resp.set_header('Location', f'{path}/claims/{held.id}')
        resp.status = falcon.HTTP_201


class ClaimItem(base.Resource):
    policies = {'GET': 'claims:get', 'PATCH': 'claims:update', 'DELETE': 'claims:delete'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.ClaimOut[dialect.message_out]}),
            'PATCH': operations.Operation(takes=dialect.renewal_in, answers={204: None}),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_get(self, req, resp, queue_name, claim_id):
        held = self.services.claims.get(req.context.queue, claim_id)
        resp.data = media.encode(self.dialect.claim(links.queue(req, queue_name), held))

    def on_patch(self, req, resp, queue_name, claim_id):
        ttl, grace = self.dialect.read_renewal(media.read(req, *_SIZE))
        self.services.claims.update(req.context.queue, claim_id, ttl, grace, self.dialect.renewal_grace)
        resp.status = falcon.HTTP_204

    def on_delete(self, req, resp, queue_name, claim_id):
        self.services.claims.delete(req.context.queue, claim_id)
        resp.status = falcon.HTTP_204
