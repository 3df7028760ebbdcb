"""Receives typed quotes from a simulator with Alpaca's own client and checks them.

Prints one line of JSON. Exit code 0 if every quote is as documented, 1 with the reason if not.
"""

import argparse
import json
import sys
import threading
from datetime import datetime, timedelta, timezone

from alpaca.data.models import Quote

from client import run_stream

# A quote older than this was not made just now, or its time was read wrong.
MAX_AGE = timedelta(minutes=1)


def problem(quote: object, symbols: set[str], previous: datetime | None) -> str | None:
    """What is wrong with `quote`, or None."""
    if not isinstance(quote, Quote):
        return f"a {type(quote).__name__} instead of a Quote: {quote!r}"
    if "*" not in symbols and quote.symbol not in symbols:
        return f"{quote.symbol} was not subscribed to"
    for name in ("bid_price", "ask_price", "bid_size", "ask_size"):
        value = getattr(quote, name)
        if not isinstance(value, float) or value < 0:
            return f"{name} is {value!r}"
    if quote.bid_price == 0 and quote.ask_price == 0:
        return "neither side has a price"
    for name in ("bid_exchange", "ask_exchange"):
        if str(getattr(getattr(quote, name), "value", getattr(quote, name))) != "V":
            return f"{name} is {getattr(quote, name)!r}, not IEX"
    if quote.conditions != ["R"]:
        return f"conditions are {quote.conditions!r}"
    if quote.tape not in ("A", "B", "C"):
        return f"tape is {quote.tape!r}"
    if quote.timestamp.utcoffset() != timedelta(0):
        return f"timestamp {quote.timestamp!r} is not in UTC"
    age = datetime.now(timezone.utc) - quote.timestamp
    if abs(age) > MAX_AGE:
        return f"timestamp {quote.timestamp} is {age} old"
    if previous is not None and quote.timestamp < previous:
        return f"timestamp {quote.timestamp} is before {previous}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="ws://HOST:PORT, or with a path")
    parser.add_argument("--symbols", default="SPY,AAPL,MSFT", help="separated by commas, or *")
    parser.add_argument("--count", type=int, default=100, help="quotes to receive")
    parser.add_argument("--seconds", type=float, default=30, help="limit for all of it")
    options = parser.parse_args()
    symbols = [name.strip() for name in options.symbols.split(",")]

    quotes: list[Quote] = []
    problems: list[str] = []
    finished = threading.Event()

    async def on_quote(quote: Quote) -> None:
        if finished.is_set():
            return
        wrong = problem(quote, set(symbols), quotes[-1].timestamp if quotes else None)
        if wrong is not None:
            problems.append(f"quote {len(quotes) + 1}: {wrong}")
            finished.set()
            return
        quotes.append(quote)
        if len(quotes) >= options.count:
            finished.set()

    failure = run_stream(options.url, symbols, on_quote, finished, options.seconds)
    reason = problems[0] if problems else failure
    seen = sorted({quote.symbol for quote in quotes})
    print(json.dumps({"ok": reason is None, "quotes": len(quotes), "symbols": seen, "reason": reason}))
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
