"""The record port: plain records with keys, unique sets and revisions. Everything that is not a message.

A record is a dict with the fields of its table and `revision`, which the store keeps: 1 after insert,
one more with each replace. Conditions may name it like any field. Values are None, bool, int (64 bit),
float, str, bytes and list of str.
"""

import collections.abc
import typing

import msgspec

from queueservice.storage import errors

Record = dict[str, typing.Any]


class Table(msgspec.Struct, frozen=True):
    """What a kind of record looks like, and how it is looked for. All of them stand in `tables.py`."""

    name: str
    #: Field -> type: bool, int, float, str, bytes, or list for a list of str. Any may be None except in the key.
    fields: dict[str, type]
    key: tuple[str, ...]
    #: Sets of fields that no two records share, beside the key. A set with a None in it binds nobody.
    unique: tuple[tuple[str, ...], ...] = ()
    #: Orders in which records are looked for, beside the key and the unique sets.
    indexes: tuple[tuple[str, ...], ...] = ()
    #: A field with an instant (s, UTC) from which on the record may be dropped by a sweep.
    expires: str | None = None


class Condition(typing.NamedTuple):
    field: str
    #: ``= < <= > >=``; ``in`` (value: a sequence); ``prefix`` and ``contains`` (of a str, literally);
    #: ``has`` (the list field holds this str). None equals None and is not ordered.
    op: str
    value: typing.Any


class Query(msgspec.Struct, frozen=True):
    where: tuple[Condition, ...] = ()
    #: (field, descending), ... - always completed by the key, ascending, so that the order is total. Who wants the
    #: latest first names the key, too, and descending: an index is read backwards as a whole, or not at all.
    order: tuple[tuple[str, bool], ...] = ()
    #: Values of the order's fields followed by those of the key: begin strictly behind that place.
    after: tuple | None = None
    offset: int = 0
    limit: int = 10
    #: Only these fields (and the key and revision); None: all.
    fields: tuple[str, ...] | None = None
    #: Look at no more records than this for `contains` and `has`; the others conditions choose which are looked at.
    budget: int | None = None


class Found(msgspec.Struct):
    records: list[Record]
    #: Where to go on (a value for `Query.after`) if the budget ended the search before the limit; else None.
    reached: tuple | None = None


def behind_prefix(prefix: str) -> str | None:
    """The first text behind all that begin with `prefix`; None if there is none."""
    head = prefix.rstrip(chr(0x10FFFF))
    if not head:
        return None
    last = ord(head[-1]) + 1
    # There are no characters for surrogates.
    return head[:-1] + chr(0xE000 if last == 0xD800 else last)


class RecordStore(typing.Protocol):
    def insert(self, table: Table, records: collections.abc.Sequence[Record]) -> list[Record | errors.Duplicate]:
        """Store new records, each for itself: a Duplicate in the answer says that this one was not.

        Acknowledged records are durable. Interrupted: any of them may be stored.
        """

    def replace(
        self, table: Table, records: collections.abc.Sequence[Record]
    ) -> list[Record | errors.Stale | errors.Duplicate]:
        """Store each record over the one with the same key and the same revision, and raise its revision.

        :returns: for each the stored record, or `Stale` if the stored one has another revision or is
            gone, or `Duplicate` if a unique set is taken by another.
        """

    def find(self, table: Table, query: Query) -> Found:
        """Read records. Costs what it returns if the order, behind equalities, is that of an index."""

    def count(self, table: Table, where: collections.abc.Sequence[Condition], cap: int) -> int:
        """How many records match; `cap` if there are as many or more."""

    def delete(
        self,
        table: Table,
        where: collections.abc.Sequence[Condition],
        *,
        order: collections.abc.Sequence[tuple[str, bool]] = (),
        limit: int,
    ) -> int:
        """Delete the first `limit` records that match, in that order, as one step; say how many."""
