"""Is the service alive, can it work, and how well."""

import falcon

from queueservice.api import media, operations
from queueservice.api.resources import base
from queueservice.api.schemas import home as schemas
from queueservice.services import health


class Ping(base.Resource):
    """204 if messages can be stored, 503 if not."""

    policies = {'GET': 'ping:get', 'HEAD': 'ping:get'}
    counted = False

    @staticmethod
    def operations(dialect):
        return dict.fromkeys(('GET', 'HEAD'), operations.Operation(answers={204: None}))

    def on_get(self, req, resp):
        self.services.health.ping()
        resp.status = falcon.HTTP_204

    def on_head(self, req, resp):
        resp.status = falcon.HTTP_204


class PublicPing(base.PublicResource):
    """The same for API v1 and for load balancers, which send no headers."""

    @staticmethod
    def operations(dialect=None):
        operation = operations.Operation(
            answers={204: None},
            refusals=(503,),
            name='readiness:get',
            summary='Ask whether the service can store messages.',
        )
        return dict.fromkeys(('GET', 'HEAD'), operation)

    def __init__(self, services, dialect=None):
        self.services = services

    on_get = Ping.on_get
    on_head = Ping.on_head


class Liveness(base.PublicResource):
    """200 as long as this process answers, whatever the state of the storage."""

    @staticmethod
    def operations(dialect=None):
        return {
            'GET': operations.Operation(
                answers={200: schemas.StatusOut}, name='liveness:get', summary='Ask whether the service runs.'
            )
        }

    def __init__(self, services, dialect=None):
        pass

    def on_get(self, req, resp):
        resp.data = b'{"status":"ok"}'


class Report(base.Resource):
    """What every operation took, tried on a queue of the service's own."""

    policies = {'GET': 'health:get'}
    counted = False

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: health.Report})}

    def on_get(self, req, resp):
        resp.data = media.encode(self.services.health.report())
