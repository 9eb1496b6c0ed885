"""The versions document, and the home document of each version."""

import falcon

from queueservice.api import dialects, media, microversions, operations
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
        # Clients of the block storage API read no further than an entry that they do not understand; those of the
        # queue API take the highest version that has a link to itself.
        volume = _describe_volume('describedby')
        self._document = media.encode(schemas.VersionsOut([volume, *map(_describe, names)]))

    def on_get(self, req, resp):
        resp.status = falcon.HTTP_300
        resp.data = self._document


class VolumeVersion(base.PublicResource):
    """The version of the block storage API, as its clients look for it."""

    PATH = dialects.FAMILIES['3'].path

    @staticmethod
    def operations(dialect=None):
        return {
            'GET': operations.Operation(
                answers={200: schemas.VersionsOut},
                name='v3_versions:get',
                summary='Read which microversions of the block storage API are served.',
            )
        }

    def __init__(self):
        self._document = media.encode(schemas.VersionsOut([_describe_volume('self')]))

    def on_get(self, req, resp):
        resp.data = self._document


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


def _describe(name):
    label = name.replace('.', '_')
    return schemas.VersionOut(
        id=name,
        status='CURRENT' if name == '2' else 'DEPRECATED',
        updated=_UPDATED[name],
        media_types=[schemas.MediaTypeOut('application/json', f'application/vnd.openstack.messaging-v{label}+json')],
        links=[schemas.VersionLinkOut(f'/v{name}/', 'self')],
    )


def _describe_volume(rel):
    return schemas.VersionOut(
        id='v3.0',
        status='CURRENT',
        version=microversions.write(microversions.MOST),
        min_version=microversions.write(microversions.LEAST),
        updated='2023-08-31T00:00:00Z',
        media_types=[schemas.MediaTypeOut('application/json', 'application/vnd.openstack.volume+json;version=3')],
        links=[schemas.VersionLinkOut(f'{VolumeVersion.PATH}/', rel)],
    )
