"""Reads the latest quotes of a simulator over REST with Alpaca's own historical clients and checks them.

Prints one line of JSON. Exit code 0 if all of them are as documented, 1 with the reason if not.
"""

import argparse
import json
import sys
from datetime import datetime, timedelta, timezone

from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.data.historical import CryptoHistoricalDataClient, OptionHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.models import Quote, Snapshot
from alpaca.data.requests import (
    CryptoLatestQuoteRequest,
    CryptoSnapshotRequest,
    OptionLatestQuoteRequest,
    OptionSnapshotRequest,
    StockLatestQuoteRequest,
    StockSnapshotRequest,
)

MAX_AGE = timedelta(minutes=10)


def check(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def check_quote(symbol: str, quote: object) -> None:
    check(isinstance(quote, Quote), f"{quote!r} is no quote")
    check(quote.symbol == symbol, f"{quote.symbol} instead of {symbol}")
    check(quote.bid_price > 0 or quote.ask_price > 0, f"{symbol} has no price")
    age = datetime.now(timezone.utc) - quote.timestamp
    check(abs(age) < MAX_AGE, f"{symbol}'s time {quote.timestamp} is {age} off")


def check_all(symbols: list[str], quotes: dict, snapshots: dict) -> None:
    check(sorted(quotes) == sorted(symbols), f"quotes of {sorted(quotes)} instead of {symbols}")
    check(sorted(snapshots) == sorted(symbols), f"snapshots of {sorted(snapshots)} instead of {symbols}")
    for symbol in symbols:
        check_quote(symbol, quotes[symbol])
        check(isinstance(snapshots[symbol], Snapshot), f"{snapshots[symbol]!r} is no snapshot")
        check_quote(symbol, snapshots[symbol].latest_quote)


def check_everything(url: str, stocks: list[str], pairs: list[str], options: list[str]) -> None:
    client = StockHistoricalDataClient("key", "secret", url_override=url)
    latest = client.get_stock_latest_quote(
        StockLatestQuoteRequest(symbol_or_symbols=[*stocks, "UNKNOWN"], feed=DataFeed.IEX)
    )
    check_all(stocks, latest, client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=stocks)))
    client = CryptoHistoricalDataClient("key", "secret", url_override=url)
    latest = client.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols=pairs))
    check_all(pairs, latest, client.get_crypto_snapshot(CryptoSnapshotRequest(symbol_or_symbols=pairs)))
    client = OptionHistoricalDataClient("key", "secret", url_override=url)
    latest = client.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=options))
    snapshots = client.get_option_snapshot(OptionSnapshotRequest(symbol_or_symbols=options))
    check(sorted(latest) == options == sorted(snapshots), f"options {sorted(latest)} and {sorted(snapshots)}")
    for symbol in options:
        check_quote(symbol, latest[symbol])
    try:
        request = StockLatestQuoteRequest(symbol_or_symbols=["A B"])
        StockHistoricalDataClient("key", "secret", url_override=url).get_stock_latest_quote(request)
    except APIError as error:
        check(error.status_code == 400, f"status {error.status_code} for an invalid symbol")
    else:
        raise AssertionError("an invalid symbol was accepted")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="http://HOST:PORT")
    parser.add_argument("--stocks", required=True, help="separated by commas")
    parser.add_argument("--pairs", required=True, help="separated by commas")
    parser.add_argument("--options", required=True, help="separated by commas")
    options = parser.parse_args()
    reason = None
    try:
        check_everything(options.url, *(sorted(names.split(",")) for names in (options.stocks, options.pairs, options.options)))
    except Exception as error:  # whatever the client raises is the verdict
        reason = repr(error)
    print(json.dumps({"ok": reason is None, "reason": reason}))
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
