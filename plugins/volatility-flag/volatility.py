"""Realized volatility of one symbol, from the midpoint at the end of each second.

It uses one price per second instead of every quote: the midpoint of a busy symbol jumps back and forth between two prices
many times per second, and a sum over all these jumps would measure how often the symbol is quoted. This also limits the
memory, and reduces the work per quote to a comparison.
"""

from collections import deque
from math import log, sqrt

SECOND = 1_000_000_000


class Seconds:
    """The last midpoint of each recent second that had one."""

    __slots__ = ("current", "kept", "mid", "past")

    def __init__(self, kept):
        self.kept = kept
        """How many seconds are kept."""
        self.past = deque()
        """Completed seconds, with the logarithm of their last price."""
        self.current = None
        """The current second and its last price so far."""
        self.mid = 0.0

    def add(self, time, mid):
        """Adds the next quote. A quote from a completed second is too late to count."""
        second = time // SECOND
        if second == self.current:
            self.mid = mid
        elif self.current is None or second > self.current:
            if self.current is not None:
                self.past.append((self.current, log(self.mid)))
            self.current, self.mid = second, mid
            while self.past and self.past[0][0] < second - self.kept:
                self.past.popleft()

    def volatility_bps(self, time, mid, window):
        """The square root of the sum of squared log returns over the `window` seconds before `time`, in basis points.
        `mid` is the price at `time`. None until there are two prices.

        Only seconds before that of `time` count: a quote of that time cannot know what came later.
        """
        now = time // SECOND
        logs = [price for second, price in self.past if now - window <= second < now]
        if self.current is not None and now - window <= self.current < now:
            logs.append(log(self.mid))
        if mid is not None:
            logs.append(log(mid))
        if len(logs) < 2:
            return None
        return sqrt(sum((after - before) ** 2 for before, after in zip(logs, logs[1:]))) * 10_000
