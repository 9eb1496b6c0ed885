"""The helpers of staged messaging: tokens of its users, metrics, health."""

import importlib.metadata
import re

import falcon

from queueservice.api import forms, media, operations
from queueservice.api.resources import base, sequences
from queueservice.api.schemas import sequences as schemas
from queueservice.model import errors

_EMAIL = re.compile(r'[^@\s\x00-\x1f]+@[^@\s\x00-\x1f.]+(\.[^@\s\x00-\x1f.]+)+')


class UserTokens(base.Resource):
    policies = {'POST': 'user_tokens:create'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(takes=schemas.UserIn, answers={201: schemas.UserOut})}

    def on_post(self, req, resp):
        given = forms.read(req, self.services.limits.max_queue_metadata)
        rules = forms.read_fields(given, schemas.UserIn)
        email = rules.pop('email')
        if not (_EMAIL.fullmatch(email) and email.isprintable()):
            raise errors.FieldsInvalid(problems={'email': ['Enter a valid email address.']})
        project = req.context.caller.project
        made, token = self.services.tokens.create(project, ['member'], email, rules=rules)
        self.audit(req, 'token.create', token=made.id, of_project=project, of_roles=list(made.roles), **rules)
        resp.data = media.encode(schemas.UserOut(token))
        resp.status = falcon.HTTP_201


class Metrics(sequences.Readable):
    """Which figures there are; and a count of them, posted to where whoever keeps them is told."""

    policies = {'GET': 'figures:get', 'POST': 'figures:fire'}
    standing = True

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.MetricsOut}),
            'POST': operations.Operation(answers={201: schemas.MetricsFiredOut}),
        }

    def get(self, req, resp):
        resp.data = media.encode(schemas.MetricsOut(self.services.figures.names(req.context.caller.project)))

    def on_post(self, req, resp):
        self.services.figures.fire(req.context.caller.project)
        resp.data = media.encode(schemas.MetricsFiredOut(True))
        resp.status = falcon.HTTP_201


class Health(sequences.Readable):
    policies = {'GET': 'figures:get_health'}
    standing = True
    counted = False

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.HealthOut})}

    def get(self, req, resp):
        self.services.health.ping()
        version = importlib.metadata.version('queueservice')
        resp.data = media.encode(schemas.HealthOut(True, schemas.HealthResultOut('Accessible', version)))
