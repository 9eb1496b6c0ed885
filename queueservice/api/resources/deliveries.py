"""Deliveries to a subscriber: what became of them."""

import falcon
import msgspec

from queueservice.api import links, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import deliveries as schemas
from queueservice.api.schemas import messages as messages_schemas
from queueservice.model import captures, deliveries, errors, messages

_REDELIVER = msgspec.json.Decoder(schemas.RedeliverIn)

_LIMIT = params.Integer('limit', 'The most deliveries of the page.', 'delivery_page')
_OUTCOME = params.Text('outcome', 'Only those with this outcome.', choices=(deliveries.OPEN, *deliveries.OUTCOMES))
_SINCE = params.Time('since', 'Of those that have ended, only those that did at this time or later.')
_MESSAGE_ID = params.Text('message_id', 'Only that of this message.')


class DeliveryCollection(base.Resource):
    policies = {'GET': 'deliveries:get_all'}

    @staticmethod
    def operations(dialect):
        query = (params.MARKER, _LIMIT, _OUTCOME, _SINCE, _MESSAGE_ID)
        return {'GET': operations.Operation(query=query, answers={200: schemas.DeliveriesOut})}

    def on_get(self, req, resp, queue_name, subscription_id):
        listed = self.services.deliveries.page(
            req.context.queue,
            subscription_id,
            outcome=_OUTCOME.read(req),
            since=_SINCE.read(req),
            message_id=_MESSAGE_ID.read(req),
            marker=params.MARKER.read(req),
            limit=_LIMIT.read(req),
        )
        path = f'{links.subscription(req, queue_name, subscription_id)}/deliveries'
        bucket_key = captures.bucket_key(*req.context.queue[1:])
        answer = schemas.DeliveriesOut([_show(path, one, bucket_key) for one in listed.deliveries], [])
        if listed.marker is not None:
            answer.links.append(messages_schemas.Link(links.next_page(req, path, listed.marker)))
        resp.data = media.encode(answer)


class DeliveryItem(base.Resource):
    policies = {'GET': 'deliveries:get', 'DELETE': 'deliveries:delete'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.DeliveryRecordOut}),
            'DELETE': operations.Operation(answers={204: None}, refusals=(409,)),
        }

    def on_get(self, req, resp, queue_name, subscription_id, delivery_id):
        delivery = self.services.deliveries.get(req.context.queue, subscription_id, delivery_id)
        path = f'{links.subscription(req, queue_name, subscription_id)}/deliveries'
        resp.data = media.encode(_show(path, delivery, captures.bucket_key(*req.context.queue[1:])))

    def on_delete(self, req, resp, queue_name, subscription_id, delivery_id):
        self.services.deliveries.drop(req.context.queue, subscription_id, delivery_id)
        self.audit(req, 'delivery.delete', queue=queue_name, subscription=subscription_id, delivery=delivery_id)
        resp.status = falcon.HTTP_204


class Redelivery(base.Resource):
    policies = {'POST': 'deliveries:redeliver'}

    @staticmethod
    def operations(dialect):
        redeliver = operations.Operation(
            takes=schemas.RedeliverIn, answers={202: schemas.RedeliverOut}, refusals=(409,)
        )
        return {'POST': redeliver}

    def on_post(self, req, resp, queue_name, subscription_id):
        raw = media.read(req, self.services.limits.max_queue_metadata, name='max_queue_metadata')
        wanted = media.decode(raw, _REDELIVER)
        done = self.services.deliveries.redeliver(
            req.context.queue, subscription_id, delivery_id=wanted.delivery_id, since=_read_since(wanted)
        )
        self.audit(
            req,
            'subscription.redeliver',
            queue=queue_name,
            subscription=subscription_id,
            redelivered=done.redelivered,
        )
        resp.status = falcon.HTTP_202
        resp.data = media.encode(schemas.RedeliverOut(done.redelivered, done.left))


def _read_since(wanted):
    if wanted.since is None:
        return None
    if wanted.delivery_id is not None:
        raise errors.BodyInvalid(description='Send "delivery_id" or "since", not both.')
    since = messages.read_timestamp(wanted.since)
    if since is None:
        raise errors.BodyInvalid(
            description='The value of the "since" field must be a time in UTC such as 2026-11-23T03:50:02Z.'
        )
    return since


def _show(path, delivery, bucket_key):
    return schemas.DeliveryRecordOut(
        delivery_id=delivery.id,
        href=f'{path}/{delivery.id}',
        kind=delivery.kind,
        message_id=delivery.message_id or None,
        outcome=delivery.outcome,
        attempts=delivery.attempts,
        first_at=_write(delivery.first_at),
        last_at=_write(delivery.last_at),
        next_at=_write(delivery.next_at),
        ended_at=_write(delivery.ended_at),
        status=delivery.status,
        error=delivery.error,
        reason=deliveries.ERRORS.get(delivery.error),
        request_id=delivery.request_id or None,
        bucket_key=bucket_key,
    )


def _write(instant):
    return None if instant is None else messages.timestamp(instant)
