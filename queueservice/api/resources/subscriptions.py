"""Subscriptions to a queue."""

import falcon
import msgspec

from queueservice.api import links, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import messages as messages_schemas
from queueservice.api.schemas import subscriptions as schemas
from queueservice.model import captures, errors, messages, subscriptions

_LIMIT = params.Integer('limit', 'The most subscriptions of the page.', 'subscription_page')

#: Bytes that a subscription's document may have, and what it is called where it is larger.
_SIZE = 64 * 1024, 'A subscription', 'not to be configured'
_DECODER = msgspec.json.Decoder()


class SubscriptionCollection(base.Resource):
    policies = {'GET': 'subscriptions:get_all', 'POST': 'subscriptions:create'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(query=(params.MARKER, _LIMIT), answers={200: schemas.SubscriptionsOut}),
            'POST': operations.Operation(takes=schemas.SubscriptionIn, answers={201: schemas.MadeOut}, refusals=(409,)),
        }

    def on_get(self, req, resp, queue_name):
        page = self.services.subscriptions.page(
            req.context.queue, marker=params.MARKER.read(req), limit=_LIMIT.read(req)
        )
        answer = schemas.SubscriptionsOut([_show(one) for one in page], [])
        if page:
            href = links.next_page(req, _path(req, queue_name), page[-1].subscription.id)
            answer.links.append(messages_schemas.Link(href))
        resp.data = media.encode(answer)

    def on_post(self, req, resp, queue_name):
        made = self.services.subscriptions.create(req.context.queue, subscriptions.read_new(_read(req)))
        resp.set_header('Location', _path(req, queue_name))
        if made is None:
            raise errors.SubscriptionExists(queue=queue_name)
        if made.secret is not None:
            self.audit(req, 'subscription.create', queue=queue_name, subscription=made.id)
        resp.data = media.encode(schemas.MadeOut(made.id, made.secret or schemas.Unset))
        resp.status = falcon.HTTP_201


class SubscriptionItem(base.Resource):
    policies = {'GET': 'subscriptions:get', 'PATCH': 'subscriptions:update', 'DELETE': 'subscriptions:delete'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.SubscriptionOut}),
            'PATCH': operations.Operation(takes=schemas.ChangesIn, answers={204: None}, refusals=(409,)),
            'DELETE': operations.Operation(answers={204: None}),
        }

    def on_get(self, req, resp, queue_name, subscription_id):
        shown = self.services.subscriptions.get(req.context.queue, subscription_id)
        resp.data = media.encode(_show(shown))

    def on_patch(self, req, resp, queue_name, subscription_id):
        wanted = subscriptions.read_changes(_read(req))
        self.services.subscriptions.update(req.context.queue, subscription_id, wanted)
        fields = [name for name in wanted.__struct_fields__ if getattr(wanted, name) is not None]
        self.audit(req, 'subscription.update', queue=queue_name, subscription=subscription_id, fields=fields)
        resp.set_header('Location', _path(req, queue_name, subscription_id))
        resp.status = falcon.HTTP_204

    def on_delete(self, req, resp, queue_name, subscription_id):
        self.services.subscriptions.delete(req.context.queue, subscription_id)
        self.audit(req, 'subscription.delete', queue=queue_name, subscription=subscription_id)
        resp.status = falcon.HTTP_204


class SubscriptionOfProject(base.Resource):
    """A subscription by its id alone: user messages say no more of one."""

    policies = {'GET': 'subscriptions:find'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.SubscriptionOut})}

    def on_get(self, req, resp, subscription_id):
        caller = req.context.caller
        shown = self.services.subscriptions.locate(caller.namespace, caller.project, subscription_id)
        resp.data = media.encode(_show(shown))


class SubscriptionConfirmation(base.Resource):
    policies = {'PUT': 'subscriptions:confirm'}

    @staticmethod
    def operations(dialect):
        return {'PUT': operations.Operation(takes=schemas.ConfirmationIn, answers={204: None})}

    def on_put(self, req, resp, queue_name, subscription_id):
        confirmed = subscriptions.read_confirmation(_read(req))
        by_subscriber = req.context.caller.link == subscription_id
        self.services.subscriptions.confirm(req.context.queue, subscription_id, confirmed, by_subscriber)
        self.audit(req, 'subscription.confirm', queue=queue_name, subscription=subscription_id, confirmed=confirmed)
        resp.set_header('Location', _path(req, queue_name, subscription_id))
        resp.status = falcon.HTTP_204


class SubscriptionSecret(base.Resource):
    policies = {'POST': 'subscriptions:secret'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(answers={200: schemas.SecretOut})}

    def on_post(self, req, resp, queue_name, subscription_id):
        secret = self.services.subscriptions.new_secret(req.context.queue, subscription_id)
        self.audit(req, 'subscription.secret', queue=queue_name, subscription=subscription_id)
        resp.data = media.encode(schemas.SecretOut(secret))


def _path(req, queue_name, subscription_id=None):
    path = f'{links.queue(req, queue_name)}/subscriptions'
    return path if subscription_id is None else f'{path}/{subscription_id}'


def _read(req):
    raw = media.read(req, *_SIZE)
    document = media.decode(raw, _DECODER)
    media.check_value(raw, 'The subscription')
    return document


def _show(shown):
    one = shown.subscription
    return schemas.SubscriptionOut(
        id=one.id,
        source=one.queue.name,
        subscriber=one.subscriber,
        ttl=one.ttl,
        age=max(0, int(shown.now - one.renewed_at)),
        options=one.options,
        confirmed=one.confirmed,
        delivery=_show_lane(shown.lane, shown.now),
        bucket_key=captures.bucket_key(one.queue.project, one.queue.name),
    )


def _show_lane(lane, now):
    if lane is None:
        return schemas.DeliveryOut()
    rests = lane.rests_until is not None and lane.rests_until > now
    return schemas.DeliveryOut(
        state='closed' if lane.opened_at is None else 'open',
        failures=lane.failures,
        last_at=None if lane.last_at is None else messages.timestamp(lane.last_at),
        last_status=lane.last_status,
        last_error=lane.last_error,
        next_at=messages.timestamp(lane.rests_until) if rests else None,
    )
