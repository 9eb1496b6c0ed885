"""Messages of message sets."""

import msgspec

from queueservice.api import media, operations
from queueservice.api.resources import files, sequences
from queueservice.api.schemas import sequences as schemas


class _Messages:
    form = schemas.SetMessageIn
    record_out = schemas.SetMessageOut

    @property
    def noun(self):
        return self.services.set_messages

    def show_all(self, req, listed):
        return [
            schemas.SetMessageOut(
                id=one.id,
                messageset=one.messageset,
                sequence_number=one.sequence_number,
                lang=one.lang,
                text_content=one.text_content,
                binary_content=one.binary_content,
                metadata=msgspec.Raw(one.metadata),
                created_at=sequences.write_time(one.created_at),
                updated_at=sequences.write_time(one.updated_at),
            )
            for one in listed
        ]


class SetMessageCollection(_Messages, sequences.Collection):
    policies = {'GET': 'set_messages:get_all', 'POST': 'set_messages:create'}
    page_out = schemas.SetMessagesOut
    filters = (
        sequences.Filter('messageset', 'Only messages of this set.', schemas.Id),
        sequences.Filter('sequence_number', 'Only messages of this number.', schemas.Number),
        sequences.Filter('lang', 'Only messages in this language.', str),
    )


class SetMessageItem(_Messages, sequences.Item):
    policies = {
        'GET': 'set_messages:get',
        'PUT': 'set_messages:update',
        'PATCH': 'set_messages:update',
        'DELETE': 'set_messages:delete',
    }


class SetMessageContent(sequences.Readable):
    """A message with its file."""

    policies = {'GET': 'set_messages:get_content'}

    @staticmethod
    def operations(dialect):
        return {'GET': operations.Operation(answers={200: schemas.SetMessageContentOut})}

    def get(self, req, resp, setmessage_id):
        found = self.services.set_messages.get(req.context.caller.project, sequences.read_id(setmessage_id))
        [shown] = show_contents(self.services, req, [found])
        resp.data = media.encode(shown)


def show_contents(services, req, messages) -> list[schemas.SetMessageContentOut]:
    """The messages with their files."""
    found = services.files.find_by_ids(one.binary_content for one in messages)
    return [
        schemas.SetMessageContentOut(
            id=one.id,
            messageset=one.messageset,
            sequence_number=one.sequence_number,
            lang=one.lang,
            text_content=one.text_content,
            binary_content=files.show(req, found[one.binary_content]) if one.binary_content in found else None,
            created_at=sequences.write_time(one.created_at),
            updated_at=sequences.write_time(one.updated_at),
        )
        for one in messages
    ]
