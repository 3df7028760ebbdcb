"""The official client, pointed at a simulator: a thread runs its stream, a timer bounds it."""

import threading
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from alpaca.data.enums import DataFeed
from alpaca.data.live import StockDataStream
from alpaca.data.models import Quote

# alpaca-py waits up to 5 s for a frame before it notices that it should stop.
STOP_SECONDS = 15


def address(url: str) -> str:
    """`url` with the IEX path if it has none: alpaca-py uses an override as it is."""
    return url if urlsplit(url).path.strip("/") else url.rstrip("/") + "/v2/iex"


def run_stream(
    url: str,
    symbols: list[str],
    on_quote: Callable[[Quote], Awaitable[None]],
    finished: threading.Event,
    seconds: float,
    *,
    clean_stop: bool = True,
) -> str | None:
    """Streams quotes until `finished` is set or `seconds` are over; then unsubscribes and stops.

    Returns why it failed, or None. Without `clean_stop` the end of the process ends the stream: under a flood the
    client's receive queue is full, and its own closing handshake waits many seconds behind it.
    """
    stream = StockDataStream("key", "secret", feed=DataFeed.IEX, url_override=address(url))
    stream.subscribe_quotes(on_quote, *symbols)
    thread = threading.Thread(target=stream.run, name="alpaca-py", daemon=True)
    thread.start()
    in_time = finished.wait(seconds)
    failure = None if in_time else f"not finished within {seconds:g} s"
    if not clean_stop:
        return failure
    try:
        if in_time:
            stream.unsubscribe_quotes(*symbols)
        stream.stop()
    except Exception as error:  # whatever the client raises is the verdict
        failure = failure or f"could not stop: {error!r}"
    thread.join(STOP_SECONDS)
    if thread.is_alive():
        failure = failure or f"still running {STOP_SECONDS} s after being stopped"
    return failure
