"""How many quotes a second Alpaca's own client takes when its handler only keeps the latest of each symbol.

Prints one line of JSON. Exit code 1 with the reason if nothing could be measured.
"""

import argparse
import json
import sys
import threading
import time

from alpaca.data.models import Quote

from client import run_stream

CONNECT_SECONDS = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="ws://HOST:PORT, or with a path")
    parser.add_argument("--symbols", default="*", help="separated by commas, or *")
    parser.add_argument("--seconds", type=float, default=10, help="measured from the first quote on")
    options = parser.parse_args()

    latest: dict[str, Quote] = {}
    count = 0
    first = last = 0.0
    finished = threading.Event()

    async def on_quote(quote: Quote) -> None:
        nonlocal count, first, last
        if finished.is_set():
            return
        latest[quote.symbol] = quote
        last = time.perf_counter()
        if count == 0:
            first = last
        count += 1
        if last - first >= options.seconds:
            finished.set()

    symbols = options.symbols.split(",")
    limit = CONNECT_SECONDS + options.seconds
    failure = run_stream(options.url, symbols, on_quote, finished, limit, clean_stop=False)
    measured = last - first
    rate = round((count - 1) / measured) if measured > 0 else 0
    if not rate:
        failure = failure or "no quotes"
    result = {"quotes_a_second": rate, "quotes": count, "seconds": round(measured, 3), "symbols": len(latest)}
    print(json.dumps(result | {"reason": failure}))
    return 0 if failure is None else 1


if __name__ == "__main__":
    sys.exit(main())
