"""What tokens turned out to be, remembered for a bounded time by this process."""

import collections.abc
import concurrent.futures
import hashlib
import threading
import typing

#: How many tokens are remembered that are good, and how many that are not; and how long the latter are, in seconds.
_REMEMBERED = 16384
_REMEMBERED_BAD = 4096
_BAD = 10.0

_Answer = typing.TypeVar('_Answer')


class TokenCache(typing.Generic[_Answer]):
    """Answers by the SHA-256 of the token, never by the token.

    Good ones and bad ones do not crowd each other out: whoever sends a flood of inventions costs nobody else
    anything. Of several threads that ask for the same token, one finds out, and the others wait for it.

    :param longest: seconds that a good answer is believed at the most: how late a revocation is noticed.
    """

    def __init__(self, clock: collections.abc.Callable[[], float], longest: float):
        self._clock = clock
        self._longest = longest
        self._good: dict[bytes, tuple[float, float, _Answer]] = {}  # since, until, answer
        self._bad: dict[bytes, tuple[float, float, None]] = {}
        self._lock = threading.Lock()
        self._asked: dict[bytes, concurrent.futures.Future] = {}

    def find(
        self, token: str, ask: collections.abc.Callable[[], tuple[_Answer, float | None] | None]
    ) -> _Answer | None:
        """What `token` is; None if it is nothing.

        :param ask: finds out: the answer and the instant (s, UTC) at which it ends (None: never); or None.
        :raises Exception: what `ask` raises, which is not remembered.
        """
        key = hashlib.sha256(token.encode()).digest()
        now = self._clock()
        for entries in (self._good, self._bad):
            entry = entries.get(key)
            # A clock that was set back must not make an answer last.
            if entry is not None and entry[0] <= now < entry[1]:
                return entry[2]
        with self._lock:
            future = self._asked.get(key)
            is_first = future is None
            if is_first:
                future = self._asked[key] = concurrent.futures.Future()
        if not is_first:
            return future.result()
        try:
            answer = self._ask(key, now, ask)
            future.set_result(answer)
            return answer
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._asked[key]

    def _ask(self, key, now, ask):
        found = ask()
        if found is not None:
            answer, expires_at = found
            if expires_at is None or expires_at > now:
                until = now + self._longest if expires_at is None else min(now + self._longest, expires_at)
                self._keep(self._good, _REMEMBERED, key, (now, until, answer))
                return answer
        self._keep(self._bad, _REMEMBERED_BAD, key, (now, now + _BAD, None))
        return None

    def _keep(self, entries, most, key, entry):
        with self._lock:
            entries.pop(key, None)
            while len(entries) >= most:
                del entries[next(iter(entries))]  # the oldest
            entries[key] = entry
