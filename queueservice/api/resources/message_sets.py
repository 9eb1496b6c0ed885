"""Message sets."""

from queueservice.api import media, operations
from queueservice.api.resources import sequences, set_messages
from queueservice.api.schemas import sequences as schemas


class _MessageSets:
    form = schemas.MessageSetIn
    record_out = schemas.MessageSetOut

    @property
    def noun(self):
        return self.services.message_sets

    def show_all(self, req, listed):
        return [
            schemas.MessageSetOut(
                id=one.id,
                short_name=one.short_name,
                label=one.label,
                content_type=one.content_type,
                notes=one.notes,
                next_set=one.next_set,
                default_schedule=one.default_schedule,
                channel=one.channel,
                created_at=sequences.write_time(one.created_at),
                updated_at=sequences.write_time(one.updated_at),
            )
            for one in listed
        ]


class MessageSetCollection(_MessageSets, sequences.Collection):
    policies = {'GET': 'message_sets:get_all', 'POST': 'message_sets:create'}
    page_out = schemas.MessageSetsOut
    filters = (
        sequences.Filter('short_name', 'Only the set of this short name.', str),
        sequences.Filter('content_type', 'Only sets of this type.', schemas.ContentType),
    )


class MessageSetItem(_MessageSets, sequences.Item):
    policies = {
        'GET': 'message_sets:get',
        'PUT': 'message_sets:update',
        'PATCH': 'message_sets:update',
        'DELETE': 'message_sets:delete',
    }


class MessageSetMessages(sequences.Readable):
    """A set with all its messages."""

    policies = {'GET': 'message_sets:get_messages'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.MessageSetMessagesOut})}

    def get(self, req, resp, messageset_id):
        project, id = req.context.caller.project, sequences.read_id(messageset_id)
        found = self.services.message_sets.get(project, id)
        messages = self.services.message_sets.messages(project, id)
        resp.data = media.encode(
            schemas.MessageSetMessagesOut(
                id=found.id,
                short_name=found.short_name,
                notes=found.notes,
                next_set=found.next_set,
                default_schedule=found.default_schedule,
                messages=set_messages.show_contents(self.services, req, messages),
                created_at=sequences.write_time(found.created_at),
                updated_at=sequences.write_time(found.updated_at),
            )
        )


class MessageSetLanguages(sequences.Readable):
    """In which languages there are messages."""

    policies = {'GET': 'message_sets:get_languages'}
    standing = True

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: dict[str, list[str]]})}

    def get(self, req, resp):
        found = self.services.message_sets.languages(req.context.caller.project)
        resp.data = media.encode({str(id): languages for id, languages in found.items()})
