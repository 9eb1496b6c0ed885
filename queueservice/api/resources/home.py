"""The versions document, and the home document of each version."""

import falcon

from queueservice.api import media, operations
from queueservice.api.resources import base
from queueservice.api.schemas import home as schemas

_JSON_HOME = 'application/json-home'
_UPDATED = {'1': '2014-9-11T17:47:05Z', '1.1': '2016-7-29T02:22:47Z', '2': '2014-9-24T04:06:47Z'}


class Versions(base.PublicResource):
    """Which versions are served. Needs no headers, no project and no token."""

    @staticmethod
    def operations(dialect=None):
        return {
            'GET': operations.Operation(
                answers={300: schemas.VersionsOut}, name='versions:get', summary='Read which versions are served.'
            )
        }

    def __init__(self, names: list[str]):
        self._document = media.encode(schemas.VersionsOut([self._describe(name) for name in names]))

    def on_get(self, req, resp):
        resp.status = falcon.HTTP_300
        resp.data = self._document

    def _describe(self, name):
        label = name.replace('.', '_')
        return schemas.VersionOut(
            id=name,
            status='CURRENT' if name == '2' else 'DEPRECATED',
            updated=_UPDATED[name],
            media_types=[
                schemas.MediaTypeOut('application/json', f'application/vnd.openstack.messaging-v{label}+json')
            ],
            links=[schemas.SelfOut(f'/v{name}/')],
        )


class Home(base.Resource):
    """What can be reached from here, as a JSON home document.

    Source: draft-nottingham-json-home.
    """

    policies = {'GET': 'home:get'}
    counted = False

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.HomeOut}, shows=_JSON_HOME)}

    def __init__(self, services, dialect, document: dict):
        super().__init__(services, dialect)
        self._document = document

    def on_get(self, req, resp):
        base_path = req.context.caller.base
        resources = {
            f'rel/{name}': {**entry, key: base_path + entry[key]}
            for name, entry in self._document.items()
            for key in ('href-template', 'href')
            if key in entry
        }
        resp.data = media.encode(schemas.HomeOut(resources))
        resp.content_type = _JSON_HOME
        resp.set_header('Cache-Control', 'max-age=86400')
