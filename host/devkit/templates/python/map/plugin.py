"""Makes one document of each quote."""

from quotegate import Timestamp, export, settings


class Documents:
    """The map. It sees only quotes that are about to be written."""

    def __init__(self, tenant, config):
        """Called once, with the `config` table of the tenant's settings. A ValueError is a sentence that names the
        setting and the remedy: the host shows it and does not start. `settings` refuses keys that are not here and
        values of another type."""
        self.source = settings(config, source="alpaca").source
        if not self.source:
            raise ValueError("source is empty. Say where the quotes come from, or leave it out.")

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


export(map=Documents)
