"""Messages of sets."""

import collections.abc

import msgspec

from queueservice.model import errors
from queueservice.model import sequences as model
from queueservice.services import rows, sequences
from queueservice.storage import records


class SetMessages:
    def __init__(self, sequences: sequences.Sequences, clock: collections.abc.Callable[[], float]):
        self._sequences = sequences
        self._rows = sequences.messages
        self._clock = clock

    def page(self, project: str, filters: dict, *, offset: int, limit: int) -> rows.Page:
        """Messages in the order of their ids.

        :param filters: values of `messageset`, `sequence_number` and `lang`.
        :raises FieldsInvalid: there is no such set.
        """
        self._sequences.check(project, filters)
        where = [records.Condition('project', '=', project)]
        where += [records.Condition(field, '=', value) for field, value in filters.items()]
        return self._rows.page(where, (('id', False),), offset, limit)

    def get(self, project: str, id: int) -> model.SetMessage:
        return self._rows.get(project, id)

    def create(self, project: str, fields: dict) -> model.SetMessage:
        """
        :raises FieldsInvalid: it refers to nothing, says nothing, or its number is taken in its language.
        """
        now = self._clock()
        defaults = {'metadata': b'{}', 'text_content': None, 'binary_content': None}
        made = model.SetMessage(id=0, project=project, created_at=now, updated_at=now, **defaults | fields)
        self._sequences.check(project, fields)
        self._check(made)
        made = msgspec.structs.replace(made, id=self._sequences.new_id(self._rows))
        return _check_number(self._sequences.insert(self._rows, made))

    def change(self, project: str, id: int, fields: dict) -> model.SetMessage:
        """
        :raises FieldsInvalid: as `create`.
        """
        fields = fields | {'updated_at': self._clock()}

        def finish(before, after):
            self._check(after)
            return after

        return _check_number(self._sequences.change(self._rows, project, id, fields, finish))

    def delete(self, project: str, id: int) -> None:
        self._rows.get(project, id)
        self._rows.drop((records.Condition('id', '=', id),))

    def _check(self, message):
        if not message.text_content and message.binary_content is None:
            raise errors.FieldsInvalid(problems=['Messages must have text or file attached'])
        text = message.text_content or ''
        found = ''.join(character for character in model.CURLY if character in text)
        if found:
            raise errors.FieldsInvalid(
                problems={
                    'text_content': [f'These characters cannot be sent: {found} - write straight quotes and hyphens.']
                }
            )
        of_set = self._sequences.message_sets.find_one(message.project, message.messageset)
        if of_set is not None and not model.is_fit_for(of_set.channel, text):
            raise errors.FieldsInvalid(
                problems={
                    'text_content': ['WhatsApp takes no line breaks, no tabs and no more than three blanks in a row.']
                }
            )


def _check_number(stored):
    if stored is None:
        raise errors.FieldsInvalid(
            problems={'non_field_errors': ['The fields messageset, sequence_number, lang must make a unique set.']}
        )
    return stored
