from datetime import datetime, timezone

from quotegate import KEEP, Document, Timestamp, export, refuse, settings


class Values:
    columns = ("bid_price", "ask_price", "conditions")
    reasons = ("wide",)

    def __init__(self, tenant, config):
        self.most = settings(config, max_spread_bps=float, source="").max_spread_bps

    def judge(self, quote):
        if quote.symbol == "MISSPELT":
            return refuse("wied")
        if quote.symbol == "SLIP":
            print("words", "on the console")
            return KEEP if quote.bid_size > 0 else refuse("wide")
        return refuse("wide") if quote.spread_bps > self.most else KEEP

    def map(self, quote):
        fields = {
            "nothing": None,
            "yes": True,
            "double": 3.0,
            "integer": 9007199254740993,
            "text": "µ – €",
            "at": Timestamp(quote.event_time),
            "date": datetime.fromtimestamp(quote.event_time // 1_000_000 / 1000, timezone.utc),
            "raw": bytes([0, 1, 255]),
            "doubles": [1, 2.5],
            "texts": ["a", "b"],
            "nested": {"one": quote.bid_exchange, "deep": {"two": quote.ask_exchange}},
            "letters": quote.conditions,
        }
        return [fields, Document({"a": 1}, id="second", collection="other")]


export(filter=Values, map=Values)
