"""Refuses quotes whose spread is too wide, and quotes that lack a side."""

from quotegate import KEEP, export, refuse, settings


class Spread:
    """The filter. It sees every quote of its tenant, in order; what it remembers stays from one quote to the next."""

    # What `judge` reads beside `quote.symbol`. The host sends nothing else: fewer are faster.
    columns = ("bid_price", "ask_price")
    # They appear in metrics and heartbeats, with the number of quotes refused for each.
    reasons = ("one_sided", "wide")

    def __init__(self, tenant, config):
        """Called once, with the `config` table of the tenant's settings. A ValueError is a sentence that names the
        setting and the remedy: the host shows it and does not start. `settings` refuses keys that are not here and
        values of another type."""
        self.max_spread_bps = settings(config, max_spread_bps=20.0).max_spread_bps
        if self.max_spread_bps <= 0:
            raise ValueError(f"max_spread_bps = {self.max_spread_bps:g}: This must be above 0.")

    def judge(self, quote):
        spread = quote.spread_bps  # in basis points of the price half way between bid and ask
        if spread is None:
            return refuse("one_sided")
        return refuse("wide") if spread > self.max_spread_bps else KEEP


export(filter=Spread)
