"""Schedules."""

import falcon

from queueservice.api import media, operations, params
from queueservice.api.resources import base, sequences
from queueservice.api.schemas import sequences as schemas
from queueservice.model import errors

_MOST_RUNS = 100
_COUNT = params.Text('count', f'How many runs to tell: 1 to {_MOST_RUNS}, or 5 without this.', '([1-9][0-9]?|100)')


class _Schedules:
    form = schemas.ScheduleIn
    record_out = schemas.ScheduleOut

    @property
    def noun(self):
        return self.services.schedules

    def show_all(self, req, listed):
        return [
            schemas.ScheduleOut(**{name: getattr(one, name) for name in schemas.ScheduleOut.__struct_fields__})
            for one in listed
        ]


class ScheduleCollection(_Schedules, sequences.Collection):
    policies = {'GET': 'schedules:get_all', 'POST': 'schedules:create'}
    page_out = schemas.SchedulesOut


class ScheduleItem(_Schedules, sequences.Item):
    policies = {
        'GET': 'schedules:get',
        'PUT': 'schedules:update',
        'PATCH': 'schedules:update',
        'DELETE': 'schedules:delete',
    }


class ScheduleRuns(sequences.Readable):
    """When the schedule runs next."""

    policies = {'GET': 'schedules:preview'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(query=(_COUNT,), answers={200: schemas.RunsOut})}

    def get(self, req, resp, schedule_id):
        text = _COUNT.read(req) or '5'
        if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= _MOST_RUNS):
            raise errors.FieldsInvalid(problems={'count': [f'Enter a whole number from 1 to {_MOST_RUNS}.']})
        id = sequences.read_id(schedule_id)
        found = self.services.schedules.preview(req.context.caller.project, id, int(text))
        resp.data = media.encode(schemas.RunsOut([sequences.write_time(at) for at in found]))


class ScheduleSend(base.Resource):
    policies = {'POST': 'schedules:send'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(answers={202: dict})}

    def on_post(self, req, resp, schedule_id):
        self.services.schedules.send(req.context.caller.project, sequences.read_id(schedule_id))
        resp.data = b'{}'
        resp.status = falcon.HTTP_202
