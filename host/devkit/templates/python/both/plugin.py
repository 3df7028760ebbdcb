"""Refuses quotes whose spread is too wide or that lack a side, and makes one document of each of the others."""

from quotegate import KEEP, Timestamp, export, refuse, settings


def read(config):
    """The `config` table of the tenant's settings; filter and map get the same one. A ValueError is a sentence that names
    the setting and the remedy: the host shows it and does not start. `settings` refuses keys that are not here and values
    of another type."""
    config = settings(config, max_spread_bps=20.0, source="alpaca")
    if config.max_spread_bps <= 0:
        raise ValueError(f"max_spread_bps = {config.max_spread_bps:g}: This must be above 0.")
    if not config.source:
        raise ValueError("source is empty. Say where the quotes come from, or leave it out.")
    return config


class Spread:
    """The filter. It sees every quote of its tenant, in order; what it remembers stays from one quote to the next."""

    # What `judge` reads beside `quote.symbol`. The host sends nothing else: fewer are faster.
    columns = ("bid_price", "ask_price")
    # They appear in metrics and heartbeats, with the number of quotes refused for each.
    reasons = ("one_sided", "wide")

    def __init__(self, tenant, config):
        self.max_spread_bps = read(config).max_spread_bps

    def judge(self, quote):
        spread = quote.spread_bps  # in basis points of the price half way between bid and ask
        if spread is None:
            return refuse("one_sided")
        return refuse("wide") if spread > self.max_spread_bps else KEEP


class Documents:
    """The map. It sees only quotes that are about to be written."""

    def __init__(self, tenant, config):
        self.source = read(config).source

    def map(self, quote):
        """The fields of a document, which goes to the tenant's collection with the symbol for an id; a
        `Document(fields, id=…, collection=…)` goes elsewhere. A list makes several, None leaves the quote to the
        tenant's next map. An int is a whole number, a float a double."""
        return {
            "symbol": quote.symbol,
            "bid": quote.bid_price or None,  # 0 where the side has no quote
            "ask": quote.ask_price or None,
            "mid": quote.mid,
            "source": self.source,
            "updated_at": Timestamp(quote.event_time),
        }


export(filter=Spread, map=Documents)
