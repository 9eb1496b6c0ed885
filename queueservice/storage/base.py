"""The contract of a storage driver: two ports and four small verbs around them.

To add a driver, write a folder `storage/drivers/<name>/` with `driver.py`, `messages.py`, `records.py`
and `options.py`, name its `options.build_driver` under `queueservice.storage` in `setup.cfg`, and let
`tests/contract/test_<name>.py` run the contract suites on it.
"""

import typing

from queueservice.storage import messages, records


class Finding(typing.NamedTuple):
    """One thing that an operator wants to know about a store."""

    what: str  # a word or two
    ok: bool
    sentence: str  # how it is; if it is not ok, what to change


class Driver(typing.Protocol):
    """One store, open in this process.

    Safe to use from many threads. A driver opens nothing before it is first used and notices a fork:
    a child process starts with no connection of its parent's.

    A driver for which more can be wrong than that it takes no write has a method `check()` too, which changes
    nothing, raises nothing of the store's, and returns a list of `Finding`. One that waits for a server has
    `begin_request()`, which a thread calls when it begins to answer a request: all that is called for the
    request together is bounded in time then.
    """

    messages: messages.MessageStore
    records: records.RecordStore

    #: For people: what is stored where, e.g. "sqlite:///home/x/queueservice.db". No secrets.
    location: str

    #: Whether several processes may use the same store. If not, the server runs one worker.
    shared: bool

    def prepare(self) -> None:
        """Create or upgrade what is missing, check what is there. May be repeated; may be slow.

        Called once at start, in a process of its own that ends before any worker is made.

        :raises Unavailable: with a sentence for the operator.
        """

    def ping(self) -> None:
        """Return if the store would take a write now.

        :raises Unavailable: it would not.
        """

    def close(self) -> None:
        """Finish what was begun and let go of everything. The driver may not be used again."""
