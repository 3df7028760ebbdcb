"""Realised volatility of one symbol, from the middle price at the end of each second.

One price a second, and not every quote: the middle of a busy symbol jumps back and forth between two prices many times a
second, and a sum over all of these jumps would measure how often it is quoted. It also bounds the memory, and makes the
work a quote costs a comparison.
"""

from collections import deque
from math import log, sqrt

SECOND = 1_000_000_000


class Seconds:
    """The last middle price of each of the latest seconds that had one."""

    __slots__ = ("current", "kept", "mid", "past")

    def __init__(self, kept):
        self.kept = kept
        """So many seconds."""
        self.past = deque()
        """Seconds that are over, with the logarithm of their last price."""
        self.current = None
        """The second that is not over, and its last price so far."""
        self.mid = 0.0

    def add(self, time, mid):
        """Takes the next quote. One from a second that is over comes too late to count."""
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
        """The root of the sum of squared log returns over the `window` seconds before `time`, with the price `mid` then;
        in basis points. None before there are two prices.

        Only seconds before that of `time` count: what came later is not known yet to a quote of that time.
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
