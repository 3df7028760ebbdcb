"""Adds to every document how much the symbol has moved lately, and whether that is a lot.

Only quotes with two sides count: with one side there is no midpoint, and in a crossed quote one of the two prices is out
of date.

The filter refuses nothing. It exists because it sees every quote, while the map sees only those that are written: at one
write per second, or fewer when the write budget is used up, the map alone would miss what happens in between. The map
looks up the volatility as of its quote's own time, so batch boundaries do not change the documents.
"""

from quotegate import KEEP, Document, Timestamp, export, gauge, settings
from volatility import Seconds

LAG = 60
"""Extra seconds to keep beyond the window, for quotes that are written late because the write budget is used up."""


class VolatilityFlag:
    columns = ("bid_price", "ask_price", "event_time")
    reasons = ()

    def __init__(self, tenant, config):
        read = settings(config, window_s=60, flag_above_bps=25.0, clear_below_bps=15.0)
        if not 2 <= read.window_s <= 600:
            raise ValueError(f"window_s = {read.window_s}: This must be 2 to 600 seconds.")
        if not 0 < read.clear_below_bps <= read.flag_above_bps:
            raise ValueError(
                f"clear_below_bps = {read.clear_below_bps:g}: This must be above 0 and at most flag_above_bps, "
                f"which is {read.flag_above_bps:g}."
            )
        self.window, self.above, self.below = read.window_s, read.flag_above_bps, read.clear_below_bps
        self.symbols = {}
        self.flagged = set()

    def judge(self, quote):
        bid, ask = quote.bid_price, quote.ask_price
        if 0 < bid <= ask:
            seconds = self.symbols.get(quote.symbol)
            if seconds is None:
                seconds = self.symbols[quote.symbol] = Seconds(self.window + LAG)
            seconds.add(quote.event_time, (bid + ask) / 2)
        return KEEP

    def map(self, quote):
        mid = quote.mid if 0 < quote.bid_price <= quote.ask_price else None
        seconds = self.symbols.get(quote.symbol)
        bps = seconds.volatility_bps(quote.event_time, mid, self.window) if seconds else None
        fields = {
            "volatility.bps": None if bps is None else round(bps, 2),
            "volatility.high": self.flag(quote.symbol, bps),
            "volatility.window_s": self.window,
        }
        if not quote.earlier:
            return {"symbol": quote.symbol, "mid": mid and round(mid, 6), "updated_at": Timestamp(quote.event_time), **fields}
        # After a map with `chain = true`: that map's documents, with these fields added to each.
        return [Document({**one.fields, **fields}, id=one.id, collection=one.collection) for one in quote.earlier]

    def flag(self, symbol, bps):
        """Set above one bound and cleared below a lower one, so that it does not flicker; unknown changes nothing."""
        if bps is not None and bps > self.above:
            self.flagged.add(symbol)
        elif bps is not None and bps < self.below:
            self.flagged.discard(symbol)
        gauge("symbols_flagged", len(self.flagged))
        return symbol in self.flagged


export(filter=VolatilityFlag, map=VolatilityFlag)
