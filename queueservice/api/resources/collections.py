"""Collections of messages of a bucket."""

from email import utils

import falcon
import msgspec

from queueservice.api import exchanges, links, media, operations
from queueservice.api.resources import base
from queueservice.api.schemas import buckets as buckets_schemas
from queueservice.api.schemas import collections as schemas

#: Bytes that documents may have, and what they are called where they are larger.
_SIZE = 64 * 1024, 'The document of a collection', 'not to be configured'

_COLLECTION = msgspec.json.Decoder(schemas.CollectionIn)
_RANK = msgspec.json.Decoder(schemas.RankIn)


class CollectionCollection(base.Resource):
    policies = {'GET': 'collections:get_all', 'POST': 'collections:create'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.CollectionsEnvelope}),
            'POST': operations.Operation(takes=schemas.CollectionIn, answers={201: schemas.CollectionEnvelope}),
        }

    def on_get(self, req, resp, bucket_key):
        found = self.services.collections.page(req.context.caller.project, bucket_key)
        resp.data = media.encode(schemas.CollectionsEnvelope([_show(one) for one in found]))

    def on_post(self, req, resp, bucket_key):
        wanted = media.decode(media.read(req, *_SIZE), _COLLECTION)
        made = self.services.collections.create(
            req.context.caller.project, bucket_key, wanted.name, wanted.description or ''
        )
        resp.data = media.encode(schemas.CollectionEnvelope(_show(made)))
        resp.set_header('Location', f'{links.bucket(req, bucket_key)}/collections/{made.id}')
        resp.status = falcon.HTTP_201


class DeletedCollection(base.Resource):
    """A collection under the path by which clients delete it, and nothing else."""

    only = True
    policies = {'DELETE': 'collections:delete'}

    @staticmethod
    def operations(dialect):
        return {'DELETE': operations.Operation(answers={204: None}, name='collections:delete_too')}

    def on_delete(self, req, resp, bucket_key, collection_uuid):
        self.services.collections.delete(req.context.caller.project, bucket_key, collection_uuid)
        resp.status = falcon.HTTP_204


class CollectionItem(DeletedCollection):
    only = False
    policies = {**DeletedCollection.policies, 'GET': 'collections:get'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: buckets_schemas.ExchangesEnvelope}),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_get(self, req, resp, bucket_key, collection_uuid):
        items = self.services.collections.items(req.context.caller.project, bucket_key, collection_uuid)
        shown = [exchanges.show(item.exchange, bodies=True, rank=item.rank) for item in items]
        resp.data = media.encode(buckets_schemas.ExchangesEnvelope(shown))


class RemovedMessage(base.Resource):
    """A message of a collection under the path by which clients remove it, and nothing else."""

    only = True
    policies = {'DELETE': 'collections:remove_message'}

    @staticmethod
    def operations(dialect):
        return {'DELETE': operations.Operation(answers={204: None}, name='collections:remove_message_too')}

    def on_delete(self, req, resp, bucket_key, collection_uuid, uuid):
        self.services.collections.remove(req.context.caller.project, bucket_key, collection_uuid, uuid)
        resp.status = falcon.HTTP_204


class CollectionMessage(RemovedMessage):
    only = False
    policies = {**RemovedMessage.policies, 'PUT': 'collections:put_message'}

    @staticmethod
    def operations(dialect):
        return {
            'PUT': operations.Operation(takes=schemas.RankIn, required=False, answers={201: None}),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_put(self, req, resp, bucket_key, collection_uuid, uuid):
        raw = media.read(req, *_SIZE)
        rank = media.decode(raw, _RANK).rank if raw else None
        self.services.collections.put(req.context.caller.project, bucket_key, collection_uuid, uuid, rank)
        resp.set_header('Location', links.bucket(req, f'{bucket_key}/messages/{uuid}'))
        resp.status = falcon.HTTP_201


def _show(collection):
    # The date as mail has it, with the zone that means: nobody says which.
    created_at = utils.formatdate(collection.created_at)
    return schemas.CollectionOut(collection.id, collection.bucket, collection.name, collection.description, created_at)
