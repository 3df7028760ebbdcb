"""How long google-cloud-firestore takes to write documents in batches, one commit after the other.

Writes to the emulator that FIRESTORE_EMULATOR_HOST names; prints one line of JSON.
"""

import argparse
import json
import time
from datetime import datetime, timedelta, timezone

from google.cloud import firestore

START = datetime(2023, 11, 14, 22, 13, 20, tzinfo=timezone.utc)


def document(number: int, symbol: str) -> dict:
    """The fields of host/sink/benches/documents.rs."""
    bid = number / 100
    ask = bid + 0.01
    when = START + timedelta(milliseconds=number)
    return {
        "symbol": symbol,
        "bid": bid,
        "ask": ask,
        "price": (bid + ask) / 2,
        "bid_size": 100.0,
        "ask_size": 200.0,
        "ts": when,
        "updated_at": when,
        "source": "alpaca",
        "bid_price": bid,
        "ask_price": ask,
        "last_update_ts": when,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", required=True)
    parser.add_argument("--documents", type=int, required=True)
    parser.add_argument("--symbols", type=int, required=True, help="different documents, written over and over")
    parser.add_argument("--batch", type=int, required=True, help="documents in one commit, at most 500")
    options = parser.parse_args()

    client = firestore.Client(project=options.project)
    quotes = client.collection("tenants", "bench", "live_quotes")

    def write(first: int, last: int) -> None:
        batch = client.batch()
        for number in range(first, last):
            symbol = f"S{number % options.symbols:04}"
            batch.set(quotes.document(symbol), document(number, symbol), merge=True)
        batch.commit()

    # The first request has to open the connection.
    write(0, 1)
    began, processor = time.perf_counter(), time.process_time()
    for first in range(0, options.documents, options.batch):
        write(first, min(first + options.batch, options.documents))
    seconds, processor_seconds = time.perf_counter() - began, time.process_time() - processor
    print(json.dumps({"seconds": seconds, "processor_seconds": processor_seconds}))


if __name__ == "__main__":
    main()
