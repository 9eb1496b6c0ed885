"""Message sets."""

import collections
import collections.abc

import msgspec

from queueservice.model import errors
from queueservice.model import sequences as model
from queueservice.services import rows, sequences
from queueservice.storage import records

_MOST_LANGUAGES = 10_000
#: As the messages of a set are kept.
_BY_LANGUAGE = (('lang', False), ('sequence_number', False))


class MessageSets:
    def __init__(self, sequences: sequences.Sequences, clock: collections.abc.Callable[[], float]):
        self._sequences = sequences
        self._rows = sequences.message_sets
        self._clock = clock

    def page(self, project: str, filters: dict, *, offset: int, limit: int) -> rows.Page:
        """Message sets in the order of their ids.

        :param filters: values of `short_name` and `content_type`.
        """
        where = [records.Condition('project', '=', project)]
        where += [records.Condition(field, '=', value) for field, value in filters.items()]
        return self._rows.page(where, (('id', False),), offset, limit)

    def get(self, project: str, id: int) -> model.MessageSet:
        return self._rows.get(project, id)

    def messages(self, project: str, id: int) -> list[model.SetMessage]:
        """All messages of the set, by their numbers."""
        where = (records.Condition('messageset', '=', self.get(project, id).id),)
        return self._sequences.messages.find(where, (('sequence_number', False),), rows.MOST)

    def languages(self, project: str) -> dict[int, list[str]]:
        """By the ids of all sets: the languages in which they have messages, in their order."""
        is_own = (records.Condition('project', '=', project),)
        found = {one.id: [] for one in self._rows.find(is_own, (('id', False),), rows.MOST)}
        for id, listed in found.items():
            of_set = records.Condition('messageset', '=', id)
            last = None
            # From language to language, whatever lies between.
            while len(listed) < _MOST_LANGUAGES:
                behind = () if last is None else (records.Condition('lang', '>', last),)
                one = self._sequences.messages.find((of_set, *behind), _BY_LANGUAGE)
                if not one:
                    break
                last = one[0].lang
                listed.append(last)
        return found

    def create(self, project: str, fields: dict) -> model.MessageSet:
        """
        :raises FieldsInvalid: it refers to nothing, or its short name is taken.
        """
        now = self._clock()
        defaults = {'label': '', 'content_type': model.TEXT, 'notes': None, 'next_set': None, 'channel': None}
        made = model.MessageSet(id=0, project=project, created_at=now, updated_at=now, **defaults | fields)
        self._sequences.check(project, fields)
        made = msgspec.structs.replace(made, id=self._sequences.new_id(self._rows))
        return _check_name(self._sequences.insert(self._rows, made))

    def change(self, project: str, id: int, fields: dict) -> model.MessageSet:
        """
        :raises FieldsInvalid: it would refer to nothing, or its short name is taken.
        """
        fields = fields | {'updated_at': self._clock()}
        return _check_name(self._sequences.change(self._rows, project, id, fields))

    def delete(self, project: str, id: int) -> None:
        """Delete a set and its messages. Sets that it was to follow end from then on.

        :raises InUse: somebody is enrolled.
        """

        def find_user():
            where = (records.Condition('project', '=', project), records.Condition('messageset', '=', id))
            used = self._sequences.enrolments.find(where)
            return f'the subscription {used[0].id}' if used else None

        def clear():
            self._sequences.messages.drop((records.Condition('messageset', '=', id),))
            while before := self._rows.find((records.Condition('next_set', '=', id),)):
                self._rows.change(project, before[0].id, lambda value: msgspec.structs.replace(value, next_set=None))

        self._rows.delete(project, id, self._clock, find_user, clear)


def _check_name(stored):
    if stored is None:
        raise errors.FieldsInvalid(problems={'short_name': ['message set with this short name already exists.']})
    return stored
