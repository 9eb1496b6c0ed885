"""Enrolments, which this API calls subscriptions, and what could not be sent to them."""

import datetime
import uuid

import falcon
import msgspec

from queueservice.api import forms, media, operations
from queueservice.api.resources import base, sequences
from queueservice.api.schemas import sequences as schemas
from queueservice.model import errors

_Filter = sequences.Filter
#: An id that no enrolment has.
_NOBODY = ''

_FILTERS = (
    _Filter('id', 'Only the one of this id.', uuid.UUID),
    _Filter('url', 'Only the one of this URL.', str),
    _Filter('identity', 'Only those of this identity.', str),
    _Filter('messageset', 'Only those of this message set.', schemas.Id),
    _Filter('lang', 'Only those in this language.', str),
    _Filter('schedule', 'Only those of this schedule.', schemas.Id),
    _Filter('active', 'Only those that are active, or that are not.', bool),
    _Filter('completed', 'Only those that are completed, or that are not.', bool),
    _Filter('process_status', 'Only those with this status.', schemas.Number),
    _Filter('version', 'Only those of this version.', schemas.Number),
    _Filter('next_sequence_number', 'Only those to whom this number comes next.', schemas.Number),
    _Filter('initial_sequence_number', 'Only those that began with this number.', schemas.Number),
    _Filter('metadata', 'Only those with these metadata, a JSON object or null; compared by value.', schemas.Metadata),
    _Filter('created_at', 'Only those made at this time (ISO 8601), to the microsecond.', datetime.datetime),
    _Filter('updated_at', 'Only those changed at this time (ISO 8601), to the microsecond.', datetime.datetime),
    _Filter('created_after', 'Only those made at this time (ISO 8601) or later.', datetime.datetime),
    _Filter('created_before', 'Only those made at this time (ISO 8601) or earlier.', datetime.datetime),
    _Filter('metadata_has_key', 'Only those whose metadata have this key.', str),
    _Filter('metadata_not_has_key', 'Only those whose metadata do not have this key.', str),
    _Filter('messageset_contains', 'Only those of sets whose short name contains this.', str),
)


class _Enrolments:
    form = schemas.EnrolmentIn
    record_out = schemas.EnrolmentOut

    @property
    def noun(self):
        return self.services.enrolments

    def show_all(self, req, listed):
        sets = self.services.enrolments.sets_of(listed)
        return [
            schemas.EnrolmentOut(
                id=one.id,
                url=_url(req, one.id),
                version=one.version,
                identity=one.identity,
                messageset=one.messageset,
                next_sequence_number=one.next_sequence_number,
                initial_sequence_number=one.initial_sequence_number,
                lang=one.lang,
                active=one.active,
                completed=one.completed,
                schedule=one.schedule,
                process_status=one.process_status,
                metadata=None if one.metadata is None else msgspec.Raw(one.metadata),
                created_at=sequences.write_time(one.created_at),
                updated_at=sequences.write_time(one.updated_at),
                messageset_label=sets[one.messageset].label if one.messageset in sets else None,
            )
            for one in listed
        ]


class EnrolmentCollection(_Enrolments, sequences.Collection):
    policies = {'GET': 'enrolments:get_all', 'POST': 'enrolments:create'}
    page_out = schemas.EnrolmentsOut
    filters = _FILTERS

    def read_filters(self, req):
        values = super().read_filters(req)
        if 'url' in values:
            id = _find_id(req, values.pop('url'))
            values['id'] = id if values.get('id', id) == id else _NOBODY
        return values

    def answer_created(self, req, resp, made):
        super().answer_created(req, resp, made)
        resp.location = _url(req, made.id)


class EnrolmentItem(_Enrolments, sequences.Item):
    policies = {
        'GET': 'enrolments:get',
        'PUT': 'enrolments:update',
        'PATCH': 'enrolments:update',
        'DELETE': 'enrolments:delete',
    }

    def read_id(self, text):
        return _read_id(text)


class EnrolmentRequest(base.Resource):
    """A new enrolment, asked for by a webhook."""

    policies = {'POST': 'enrolments:request'}

    @staticmethod
    def operations(dialect):
        return {'POST': operations.Operation(takes=schemas.EnrolmentRequestIn, answers={201: schemas.AcceptedOut})}

    def on_post(self, req, resp):
        given = forms.read(req, self.services.limits.max_messages_post_size)
        if 'data' not in given:
            raise errors.FieldsInvalid(problems={'data': [forms.REQUIRED]})
        fields = forms.read_fields(forms.read_object(given['data']), schemas.EnrolmentIn)
        self.services.enrolments.request(req.context.caller.project, fields)
        resp.data = media.encode(schemas.AcceptedOut(True))
        resp.status = falcon.HTTP_201


class EnrolmentSend(base.Resource):
    """Let the next message be sent. Whatever is sent as a document is not looked at."""

    policies = {'POST': 'enrolments:send'}
    resend = False
    status = falcon.HTTP_201

    @classmethod
    def operations(cls, dialect):
        return {'POST': operations.Operation(answers={int(cls.status[:3]): schemas.AcceptedOut})}

    def on_post(self, req, resp, enrolment_id):
        try:
            id = _read_id(enrolment_id)
            self.services.enrolments.send(req.context.caller.project, id, resend=self.resend)
        except errors.NotFound:
            raise errors.FieldsInvalid(
                problems={'accepted': False, 'reason': f'There is no subscription {enrolment_id[:64]}.'}
            ) from None
        resp.data = media.encode(schemas.AcceptedOut(True))
        resp.status = self.status


class EnrolmentResend(EnrolmentSend):
    """Let the last message be sent again."""

    policies = {'POST': 'enrolments:resend'}
    resend = True
    status = falcon.HTTP_202


class _Failures:
    record_out = schemas.FailedTaskOut

    @property
    def noun(self):
        return self.services.failures

    def show_all(self, req, listed):
        return [
            schemas.FailedTaskOut(
                url=f'{req.prefix}{req.context.caller.base}/v1/failed-tasks/{one.id}/',
                id=one.id,
                subscription=_url(req, one.enrolment),
                subscription_id=one.enrolment,
                task_id=one.task_id,
                initiated_at=sequences.write_time(one.initiated_at),
                reason=one.reason,
            )
            for one in listed
        ]


class FailureCollection(_Failures, sequences.Collection):
    """What could not be sent, the latest first."""

    policies = {'GET': 'failures:get_all', 'POST': 'failures:retry'}
    page_out = schemas.FailedTasksOut

    @classmethod
    def operations(cls, dialect):
        return {
            'GET': operations.Operation(query=(sequences.LIMIT, sequences.OFFSET), answers={200: cls.page_out}),
            'POST': operations.Operation(answers={201: schemas.RequeuedOut}),
        }

    def on_post(self, req, resp):
        self.services.failures.retry(req.context.caller.project)
        resp.data = media.encode(schemas.RequeuedOut(True))
        resp.status = falcon.HTTP_201


class FailureItem(_Failures, sequences.Readable):
    policies = {'GET': 'failures:get'}
    standing = True

    @classmethod
    def operations(cls, dialect):
        return {'GET': operations.Operation(answers={200: cls.record_out})}

    def get(self, req, resp, failure_id):
        found = self.noun.get(req.context.caller.project, sequences.read_id(failure_id))
        [shown] = self.show_all(req, [found])
        resp.data = media.encode(shown)


def _url(req, id):
    return f'{req.prefix}{req.context.caller.base}/v1/subscriptions/{id}/'


def _find_id(req, url):
    """The id of the enrolment whose URL this is for whoever sends the request; _NOBODY if it is none of these."""
    id = url.rstrip('/').rpartition('/')[2]
    return id if url == _url(req, id) else _NOBODY


def _read_id(text):
    """The id that a path has, however it is spelled.

    :raises NotFound: nothing can have it.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise errors.NotFound(description='Not found.') from None
