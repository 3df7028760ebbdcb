"""Refuses quotes with a wide spread and one-sided quotes, and makes one document from each of the others."""

from quotegate import KEEP, Timestamp, export, refuse, settings


def read(config):
    """The `config` table of the tenant's settings; filter and map get the same one. A ValueError should name the
    bad setting and how to fix it; the host shows it and does not start. `settings` rejects unknown keys and values of
    the wrong type."""
    config = settings(config, max_spread_bps=20.0, source="alpaca")
    if config.max_spread_bps <= 0:
        raise ValueError(f"max_spread_bps = {config.max_spread_bps:g}: This must be above 0.")
    if not config.source:
        raise ValueError("source is empty. Say where the quotes come from, or leave it out.")
    return config


class Spread:
    """The filter. It sees every quote of its tenant, in order, and can keep state from one quote to the next."""

    # The columns `judge` reads besides `quote.symbol`. The host sends only these; fewer are faster.
    columns = ("bid_price", "ask_price")
    # The reasons appear in metrics and heartbeats, with the number of quotes refused for each.
    reasons = ("one_sided", "wide")

    def __init__(self, tenant, config):
        self.max_spread_bps = read(config).max_spread_bps

    def judge(self, quote):
        spread = quote.spread_bps  # in basis points of the midpoint
        if spread is None:
            return refuse("one_sided")
        return refuse("wide") if spread > self.max_spread_bps else KEEP


class Documents:
    """The map. It sees only quotes that are about to be written."""

    def __init__(self, tenant, config):
        self.source = read(config).source

    def map(self, quote):
        """Returns the fields of a document in the tenant's collection, with the symbol as its id; to choose these, return
        a `Document(fields, id=…, collection=…)`. A list makes several documents; None leaves the quote to the
        tenant's next map. An int becomes an integer, a float a double."""
        return {
            "symbol": quote.symbol,
            "bid": quote.bid_price or None,  # 0 if the side has no quote
            "ask": quote.ask_price or None,
            "mid": quote.mid,
            "source": self.source,
            "updated_at": Timestamp(quote.event_time),
        }


export(filter=Spread, map=Documents)
