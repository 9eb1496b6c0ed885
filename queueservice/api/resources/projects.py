"""Projects: what they keep, and their limits."""

from urllib import parse

import falcon
import msgspec

from queueservice.api import links, media, operations, params
from queueservice.api.resources import base
from queueservice.api.schemas import messages as messages_schemas
from queueservice.api.schemas import queues as schemas
from queueservice.model import queues

_LIMIT = params.Integer('limit', 'The most projects of the page.', 'queue_page')

#: Bytes that the document of new limits may have, and what it is called where it is larger.
_SIZE = 64 * 1024, 'The document of limits', 'not to be configured'
_DECODER = msgspec.json.Decoder(schemas.ProjectIn)


class ProjectCollection(base.Resource):
    policies = {'GET': 'projects:get_all'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(query=(params.MARKER, _LIMIT), answers={200: schemas.ProjectsOut})}

    def on_get(self, req, resp):
        projects = self.services.projects.page(marker=params.MARKER.read(req), limit=_LIMIT.read(req))
        path = f'{req.context.caller.base}/projects'
        answer = schemas.ProjectsOut([schemas.ProjectLinkOut(one, links.project(req, one)) for one in projects], [])
        if projects:
            href = links.next_page(req, path, parse.quote(projects[-1], safe=''))
            answer.links.append(messages_schemas.Link(href))
        resp.data = media.encode(answer)


class ProjectItem(base.Resource):
    policies = {'GET': 'projects:get', 'PATCH': 'projects:update'}

    @staticmethod
    def operations(dialect):
        return {
            'GET': operations.Operation(answers={200: schemas.ProjectOut}),
            'PATCH': operations.Operation(takes=schemas.ProjectIn, answers={200: schemas.ProjectOut}),
        }

    def on_get(self, req, resp, project_id):
        _check(project_id)
        if project_id != req.context.caller.project and 'admin' not in req.context.caller.roles:
            raise falcon.HTTPNotFound(title='Not found', description='There is no such project.')
        self._show(resp, project_id)

    def on_patch(self, req, resp, project_id):
        _check(project_id)
        changes = media.decode(media.read(req, *_SIZE), _DECODER)
        self.services.quotas.change(project_id, changes.limits)
        self.audit(req, 'project.limits', of_project=project_id, limits=changes.limits)
        self._show(resp, project_id)

    def _show(self, resp, project_id):
        usage = self.services.projects.usage(queues.PROJECT, project_id)
        counts = schemas.UsageOut(
            free=usage.messages - usage.claimed - usage.delayed,
            claimed=usage.claimed,
            delayed=usage.delayed,
            total=usage.messages,
        )
        bounds = self.services.projects.limits(project_id)
        rules = self.services.project_rules.find(project_id)
        staged = schemas.StagedOut(rules.timezone, rules.misfire, rules.identity_url, rules.outbound_queue)
        resp.data = media.encode(schemas.ProjectOut(project_id, usage.queues, counts, usage.bytes, bounds, staged))


def _check(project_id):
    if project_id.endswith('/'):  # the path ends in a slash, as in all paths that lead nowhere
        raise falcon.HTTPRouteNotFound()
    queues.check_project(project_id)
