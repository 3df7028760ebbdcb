"""Refuses quotes with a wide spread and one-sided quotes."""

from quotegate import KEEP, export, refuse, settings


class Spread:
    """The filter. It sees every quote of its tenant, in order, and can keep state from one quote to the next."""

    # The columns `judge` reads besides `quote.symbol`. The host sends only these; fewer are faster.
    columns = ("bid_price", "ask_price")
    # The reasons appear in metrics and heartbeats, with the number of quotes refused for each.
    reasons = ("one_sided", "wide")

    def __init__(self, tenant, config):
        """Called once, with the `config` table of the tenant's settings. A ValueError should name the bad
        setting and how to fix it; the host shows it and does not start. `settings` rejects unknown keys and values
        of the wrong type."""
        self.max_spread_bps = settings(config, max_spread_bps=20.0).max_spread_bps
        if self.max_spread_bps <= 0:
            raise ValueError(f"max_spread_bps = {self.max_spread_bps:g}: This must be above 0.")

    def judge(self, quote):
        spread = quote.spread_bps  # in basis points of the midpoint
        if spread is None:
            return refuse("one_sided")
        return refuse("wide") if spread > self.max_spread_bps else KEEP


export(filter=Spread)
