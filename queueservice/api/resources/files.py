"""Files: uploaded by those who write messages, read by whoever has the address."""

import mimetypes

from queueservice.api import forms, operations
from queueservice.api.resources import base, sequences
from queueservice.api.schemas import sequences as schemas

#: Types that nobody takes for anything that runs; all others are bytes.
_SAFE = ('audio', 'video')
_SAFE_IMAGES = ('image/png', 'image/jpeg', 'image/gif', 'image/webp')
_BYTES = 'application/octet-stream'
_FORM = 'multipart/form-data'


class _Files:
    form = schemas.FileIn
    record_out = schemas.FileOut

    @property
    def noun(self):
        return self.services.files

    def show_all(self, req, listed):
        return [show(req, one) for one in listed]

    def read_upload(self, req):
        upload = forms.read_upload(req, 'content', self.services.files.most)
        return upload.name, upload.content, req.prefix


class FileCollection(_Files, sequences.Collection):
    policies = {'GET': 'files:get_all', 'POST': 'files:create'}
    page_out = schemas.FilesOut

    @classmethod
    def operations(cls, dialect):
        described = super().operations(dialect)
        return described | {'POST': described['POST']._replace(media=_FORM)}

    def on_post(self, req, resp):
        made = self.services.files.create(req.context.caller.project, *self.read_upload(req))
        self.answer_created(req, resp, made)


class FileItem(_Files, sequences.Item):
    policies = {'GET': 'files:get', 'PUT': 'files:update', 'PATCH': 'files:update', 'DELETE': 'files:delete'}

    @classmethod
    def operations(cls, dialect):
        described = super().operations(dialect)
        return described | {method: described[method]._replace(media=_FORM) for method in ('PUT', 'PATCH')}

    def change(self, req, resp, ids, partial):
        id, project = self.read_id(*ids.values()), req.context.caller.project
        self.services.files.get(project, id)
        self.answer(req, resp, self.services.files.replace(project, id, *self.read_upload(req)))


class Content(base.PublicResource):
    """What is in a file. Its address is what opens it."""

    @staticmethod
    def operations(dialect=None):
        operation = operations.Operation(
            answers={200: bytes},
            shows=_BYTES,
            refusals=(404, 503),
            name='files:read',
            summary='Read what is in a file. Whoever has the address may.',
        )
        return dict.fromkeys(('GET', 'HEAD'), operation)

    def __init__(self, services):
        self.services = services

    def on_get(self, req, resp, file_token, file_name):
        resp.data = self.services.files.read(file_token, file_name)
        resp.content_type = _type_of(file_name)
        resp.set_header('Content-Disposition', f'attachment; filename="{file_name}"')
        resp.set_header('Content-Security-Policy', "default-src 'none'; sandbox")

    on_head = on_get


def show(req, file) -> schemas.FileOut:
    return schemas.FileOut(file.id, f'{req.prefix}{file.path}')


def _type_of(name):
    kind, encoding = mimetypes.guess_type(name)
    if kind is None or encoding is not None:
        return _BYTES
    return kind if kind.partition('/')[0] in _SAFE or kind in _SAFE_IMAGES else _BYTES
