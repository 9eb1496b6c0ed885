"""How many requests a second: a bucket of tokens that all processes share, each taking a block of them at a time."""

import msgspec

#: How much of a rate a process takes at once, in seconds.
BLOCK = 0.2
#: By how much the clocks of hosts may differ, in seconds. One that is further behind than that was put back.
CLOCK_STEP = 10.0


class Bucket(msgspec.Struct, frozen=True):
    """What is left of a rate. A token stands for a request."""

    tokens: float
    at: float  # s, UTC: when it was as full as that

    def fill(self, rate: int, burst: int, now: float) -> 'Bucket':
        """The bucket with what has come in by `now`: `rate` tokens a second, until `burst` are in it.

        A clock that is a little behind adds nothing. One that was put back begins to count anew.
        """
        if now < self.at - CLOCK_STEP:
            return Bucket(min(self.tokens, burst), now)
        latest = max(now, self.at)
        return Bucket(min(self.tokens + (latest - self.at) * rate, burst), latest)

    def block(self, rate: int, burst: int) -> int:
        """How many tokens a process takes now; 0 if there is not a whole one.

        Half of what is there, so that the first ones leave something for the others: but no more than a whole block,
        and no crumbs, as each block is a write.
        """
        whole = size(rate, burst)
        return min(int(self.tokens), whole, max(int(self.tokens / 2), whole // 8, 1))

    def wait(self, rate: int, burst: int) -> float:
        """Seconds after which it is worth while to look again: a whole block is there then."""
        return max(0.0, (size(rate, burst) - self.tokens) / rate)


def size(rate: int, burst: int) -> int:
    """How many tokens a block has at the most."""
    return max(1, min(int(rate * BLOCK), burst))
