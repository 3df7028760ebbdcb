"""Makes one document from each quote."""

from quotegate import Timestamp, export, settings


class Documents:
    """The map. It sees only quotes that are about to be written."""

    def __init__(self, tenant, config):
        """Called once, with the `config` table of the tenant's settings. A ValueError should name the bad
        setting and how to fix it; the host shows it and does not start. `settings` rejects unknown keys and values
        of the wrong type."""
        self.source = settings(config, source="alpaca").source
        if not self.source:
            raise ValueError("source is empty. Say where the quotes come from, or leave it out.")

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


export(map=Documents)
