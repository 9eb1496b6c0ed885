"""Files: uploaded, and read by whoever has the address."""

import collections.abc

import msgspec

from queueservice.model import errors
from queueservice.model import sequences as model
from queueservice.services import rows, sequences
from queueservice.storage import base, records, tables


class Files:
    """
    :param most: bytes that a file may have.
    """

    def __init__(
        self,
        driver: base.Driver,
        sequences: sequences.Sequences,
        most: int,
        clock: collections.abc.Callable[[], float],
    ):
        self._records = driver.records
        self._sequences = sequences
        self._rows = sequences.files
        self.most = most
        self._clock = clock

    def page(self, project: str, *, offset: int, limit: int) -> rows.Page:
        """Files in the order of their ids."""
        return self._rows.page((records.Condition('project', '=', project),), (('id', False),), offset, limit)

    def get(self, project: str, id: int) -> model.File:
        return self._rows.get(project, id)

    def find_by_ids(self, ids: collections.abc.Iterable[int | None]) -> dict[int, model.File]:
        """Those that there are, by id."""
        return self._rows.find_by_ids(ids)

    def read(self, token: str, name: str) -> bytes:
        """What is in a file.

        :raises NotFound: there is none of this address.
        """
        where = (records.Condition('token', '=', token), records.Condition('name', '=', name))
        found = self._records.find(tables.FILES, records.Query(where=where, limit=1, fields=('content',))).records
        if not found:
            raise errors.NotFound(description='Not found.')
        return found[0]['content']

    def create(self, project: str, name: str, content: bytes, base: str) -> model.File:
        """Keep a file under an address that nobody can guess.

        :param base: what addresses of this service begin with.
        :raises BodyTooLarge: it is.
        """
        self._check(content)
        made = model.File(
            id=self._sequences.new_id(self._rows),
            project=project,
            token=model.new_token(),
            name=name,
            base=base,
            size=len(content),
            created_at=self._clock(),
        )
        return self._rows.insert(made, content=content)

    def replace(self, project: str, id: int, name: str, content: bytes, base: str) -> model.File:
        """Put other content in the place of a file, under another address.

        :raises BodyTooLarge: it is.
        """
        self._check(content)
        fields = {'token': model.new_token(), 'name': name, 'base': base, 'size': len(content)}
        return self._rows.change(project, id, lambda value: msgspec.structs.replace(value, **fields), content=content)

    def delete(self, project: str, id: int) -> None:
        """Delete a file, and the messages that use it."""
        using = (records.Condition('project', '=', project), records.Condition('binary_content', '=', id))
        self._rows.delete(project, id, self._clock, clear=lambda: self._sequences.messages.drop(using))

    def _check(self, content):
        if len(content) > self.most:
            raise errors.BodyTooLarge(what='The file', size=len(content), most=self.most, name='max_file_size')
