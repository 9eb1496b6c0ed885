"""Claims on messages of a queue."""

import falcon

from queueservice.api import links, media, params
from queueservice.api.resources import base

#: Bytes that a claim's document may have (it holds two numbers), and what it is called where it is larger.
_SIZE = 64 * 1024, 'A claim', 'not to be configured'


class ClaimCollection(base.Resource):
    policies = {'POST': 'claims:create'}

    def on_post(self, req, resp, queue_name):
        ttl, grace = self.dialect.read_claim(media.read(req, *_SIZE))
        limit = params.integer(req, 'limit')
        held = self.services.claims.create(req.context.queue, ttl, grace, limit)
        if held is None:
            resp.status = falcon.HTTP_204
            return
        path = links.queue(req, queue_name)
        resp.data = media.encode(self.dialect.bare(self.dialect.messages(path, held.listed)))
        resp.set_header('Location', f'{path}/claims/{held.id}')
        resp.status = falcon.HTTP_201


class ClaimItem(base.Resource):
    policies = {'GET': 'claims:get', 'PATCH': 'claims:update', 'DELETE': 'claims:delete'}

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
