"""Filters and maps for quotegate in plain Python.

    from quotegate import KEEP, export, refuse, settings

    class SpreadGuard:
        columns = ("bid_price", "ask_price")   # the columns `judge` reads; fewer are faster
        reasons = ("spread",)                  # why it can refuse a quote

        def __init__(self, tenant, config):
            self.most = settings(config, max_spread_bps=20.0).max_spread_bps

        def judge(self, quote):
            spread = quote.spread_bps
            return refuse("spread") if spread is not None and spread > self.most else KEEP

    export(filter=SpreadGuard)

`judge` gets the same object for every quote, with new values, so copy what you want to keep. A map has a method
`map(quote)`, which returns the documents to write. If filter and map are the same class, they share one object. There is
no clock, network or file access. What a plugin prints goes to the host's log.
"""

import json
import sys
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from functools import partial
from types import SimpleNamespace

__all__ = ["COLUMNS", "KEEP", "Document", "Timestamp", "count", "export", "gauge", "log", "refuse", "settings"]

COLUMNS = (
    "bid_price",  # best bid in USD; 0 if this side has no quote
    "bid_size",  # in the feed's unit: shares since November 2025
    "ask_price",
    "ask_size",
    "bid_exchange",  # one letter, or None
    "ask_exchange",
    "tape",  # one letter, or None
    "conditions",  # up to four letters, in order
    "event_time",  # when the exchange made the quote, in nanoseconds since 1970 UTC
    "received_time",  # when it arrived at the host, also in nanoseconds
)
"""The columns of a quote besides its `symbol`."""

KEEP = None
"""`judge` returns this for a quote that passes."""


def refuse(reason):
    """`judge` returns this for a quote that does not pass, with a name from the filter's `reasons`."""
    return reason


class Timestamp(namedtuple("Timestamp", ("nanoseconds",))):
    """A point in time as a field's value: nanoseconds since 1970 UTC. Firestore stores microseconds."""

    __slots__ = ()


class Document:
    """A document to write, for when it needs more than fields.

    `fields` maps names to values. Each dot in a name is one level of nesting, and so is a dict. A value is None, a bool,
    an int, a float, a str, bytes, a `Timestamp` or an aware datetime, or a list of numbers or strings.
    """

    __slots__ = ("collection", "fields", "id")

    def __init__(self, fields, *, id=None, collection=None):
        self.fields = fields
        self.id = id
        """None means the quote's symbol."""
        self.collection = collection
        """None means the tenant's own collection."""

    def __repr__(self):
        return f"Document({self.fields!r}, id={self.id!r}, collection={self.collection!r})"


def settings(config, **known):
    """Validates the plugin's `config`: `settings(config, max_spread_bps=20.0, venue=str)`.

    Give each name its default, which also sets its type, or the type itself if it is required.
    """
    for name in config:
        if name not in known:
            raise ValueError(f"{name}: There is no such setting. There is {', '.join(known)}.")
    return SimpleNamespace(**{name: _setting(config, name, default) for name, default in known.items()})


def _setting(config, name, default):
    required = isinstance(default, type)
    if name not in config and not required:
        return default
    kind = default if required else type(default)
    if name not in config:
        raise ValueError(f"{name} is missing. Give {_KINDS[kind]}.")
    value = config[name]
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"{name} = {json.dumps(value)}: This must be {_KINDS[kind]}.")
    return value


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a table"}


def log(level, text):
    """Writes a line to the host's log; `level` is "debug", "info", "warn" or "error"."""
    _host.log(getattr(_types.Level, level.upper()), text)


def count(name, delta=1):
    """Adds to one of this plugin's own counters. Names: letters, digits, - and _, at most 64 characters; at most 64 names."""
    _host.count(name, delta)


def gauge(name, value):
    """Sets one of this plugin's own gauges. Names as for `count`."""
    _host.gauge(name, value)


def export(*, filter=None, map=None):
    """Says which classes make up the plugin; called once, when the module is imported."""
    global _exported
    _exported = (filter, map)


# Below: the code between this API and the WIT. Not public API.

_host = _types = None
_exported = (None, None)


def _mid(bid, ask):
    """The midpoint as a decimal number: 148.395 between 148.39 and 148.40, not 148.39499999999998."""
    scale = 100.0
    while scale <= 1e15:
        bid_units, ask_units = round(bid * scale), round(ask * scale)
        exact = bid_units / scale == bid and ask_units / scale == ask
        if exact and max(bid_units, ask_units) < 2**51:
            return (bid_units + ask_units) / (2 * scale)
        scale *= 10
    return (bid + ask) / 2


class _Views:
    """Values computed from a quote's columns."""

    __slots__ = ()

    @property
    def mid(self):
        """The midpoint of bid and ask, or None if a side has no quote."""
        return _mid(self.bid_price, self.ask_price) if self.bid_price > 0 and self.ask_price > 0 else None

    @property
    def spread(self):
        """Ask minus bid in USD, negative for a crossed quote, or None if a side has no quote."""
        return self.ask_price - self.bid_price if self.bid_price > 0 and self.ask_price > 0 else None

    @property
    def spread_bps(self):
        """The spread in basis points of `mid`, or None if a side has no quote."""
        bid, ask = self.bid_price, self.ask_price
        return (ask - bid) / ((bid + ask) / 2) * 10_000 if bid > 0 and ask > 0 else None

    @property
    def imbalance(self):
        """1 is all bid, -1 all ask; None if both sizes are 0."""
        total = self.bid_size + self.ask_size
        return (self.bid_size - self.ask_size) / total if total > 0 else None

    def __getattr__(self, name):
        # Also of a column that was declared, before it has a value; there is none such while `judge` runs.
        remedy = f'; add "{name}" to the filter\'s columns' if name in COLUMNS else ""
        raise AttributeError(f"a quote here has no {name}{remedy}")


class _Conditions(dict):
    """Unpacks letters, the first in the lowest byte, into a string."""

    def __missing__(self, packed):
        text = self[packed] = packed.to_bytes(4, "little").rstrip(b"\0").decode("latin-1")
        return text


_LETTERS = (None, *map(chr, range(1, 256)))
_CONDITIONS = _Conditions()
_READ = {
    "bid_exchange": _LETTERS.__getitem__,
    "ask_exchange": _LETTERS.__getitem__,
    "tape": _LETTERS.__getitem__,
    "conditions": _CONDITIONS.__getitem__,
}


class _Codes(dict):
    """Converts a verdict to its byte: 0 keeps, the first reason is 1."""

    def __init__(self, reasons):
        super().__init__({reason: at + 1 for at, reason in enumerate(reasons)})
        self[KEEP] = 0

    def __missing__(self, verdict):
        # The host reports it as a number, and it is logged once: a bug in a rare case must not stop the tenant's quotes.
        log("error", f"judge answered {verdict!r}, which is neither KEEP nor one of its reasons")
        self[verdict] = 255
        return 255


_LOOP = """
def loop(quote, names, judge, codes, batch):
    return bytes([codes[judge(quote)] for {targets} in zip({sources})])
"""
"""Written out for a filter's columns: assigning to attributes in the head of a loop, with one quote object for all rows,
is the cheapest that Python has for reaching `judge` with names."""


class _FilterCalls:
    def __init__(self, filter):
        self.columns = tuple(getattr(filter, "columns", COLUMNS))
        for name in self.columns:
            if name not in COLUMNS:
                raise ValueError(f"columns has {name!r}; there are {', '.join(COLUMNS)}.")
        self.reasons = list(filter.reasons)
        targets = [f"quote.{name}" for name in ("symbol", *self.columns)]
        sources = ["map(names.__getitem__, batch.symbol)", *(_source(name) for name in self.columns)]
        scope = {"read": _READ}
        exec(_LOOP.format(targets=", ".join(targets), sources=", ".join(sources)), scope)
        quote = type("Quote", (_Views,), {"__slots__": ("symbol", *self.columns)})()
        self.names = []
        self.loop = partial(scope["loop"], quote, self.names, filter.judge, _Codes(self.reasons))

    def __call__(self, batch):
        if batch.new_symbols:
            self.names.extend(batch.new_symbols)
        return self.loop(batch)


def _source(column):
    return f"map(read[{column!r}], batch.{column})" if column in _READ else f"batch.{column}"


class _MapCalls:
    def __init__(self, map):
        self.map = map.map

    def __call__(self, quotes):
        return [self.one(quote) for quote in quotes]

    def one(self, quote):
        quote.earlier = [_read_document(one) for one in quote.earlier or ()]
        answer = self.map(quote)
        if answer is None:
            return []
        if isinstance(answer, (list, tuple)):
            return [_document(one) for one in answer]
        return [_document(answer)]


def _document(answer):
    if type(answer) is Document:
        return _types.Document(answer.collection, answer.id, _fields(answer.fields))
    if type(answer) is dict:
        return _types.Document(None, None, _fields(answer))
    raise TypeError(f"map answered {answer!r}; it may answer None, a dict, a Document, or a list of these")


def _fields(fields):
    made = []
    _add_fields(made, "", fields)
    return made


def _add_fields(made, above, fields):
    field = _types.Field
    for name, value in fields.items():
        path = above + name
        if type(value) is dict:
            _add_fields(made, path + ".", value)
        else:
            make = _values.get(type(value))
            if make is None:
                raise TypeError(f"the field {path} is {value!r}, which no document can hold")
            made.append(field(path, make(value)))


def _list_value(values):
    if all(type(value) is str for value in values):
        return _types.Value_Texts(list(values))
    if all(type(value) in (int, float) for value in values):
        return _types.Value_Doubles([float(value) for value in values])
    raise TypeError(f"the list {values!r} is neither of numbers nor of texts")


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def _datetime_value(value):
    if value.tzinfo is None:
        raise TypeError(f"the time {value} has no time zone; give one, such as timezone.utc")
    return _types.Value_Timestamp((value - _EPOCH) // timedelta(microseconds=1) * 1000)


_values = {}


def _read_document(document):
    fields = {field.path: _read_value(field.value) for field in document.fields}
    return Document(fields, id=document.id, collection=document.collection)


def _read_value(value):
    if type(value) is _types.Value_Null:
        return None
    return Timestamp(value.value) if type(value) is _types.Value_Timestamp else value.value


def _told(call, *arguments):
    """Calls, and logs what was raised: the host itself only sees that the plugin failed."""
    try:
        return call(*arguments)
    except Exception as problem:
        # Without the source lines of a traceback, for which there would have to be files; the last place that is not here.
        place, step = "", problem.__traceback__
        while step is not None:
            code = step.tb_frame.f_code
            if code.co_filename != __file__ and code.co_name != "loop":
                place = f" ({code.co_filename.rpartition('/')[2]}:{step.tb_lineno}, in {code.co_name})"
            step = step.tb_next
        log("error", f"{type(problem).__name__}: {problem}{place}")
        raise


class _Lines:
    """The target of `print`."""

    def __init__(self, level):
        self.level, self.rest = level, ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            log(self.level, line)
        return len(text)

    def flush(self):
        pass


def _check(kind, filter_class, map_class):
    """Checks that `plugin.py` exports what `plugin.toml` says, which decides the component's world."""
    found = {(True, True): "both", (True, False): "filter", (False, True): "map", (False, False): "nothing"}
    found = found[filter_class is not None, map_class is not None]
    if found != kind:
        wanted = {"filter": "filter=…", "map": "map=…", "both": "filter=…, map=…"}[kind]
        raise TypeError(f'plugin.toml says kind = "{kind}", but plugin.py exports {found}: call export({wanted}) at its end')


def exports(kind, host, types, problem):
    """The classes that the component exports; `problem` is the exception that the WIT bindings expect."""
    import gc

    global _host, _types
    _host, _types = host, types
    _values.update(
        {
            type(None): lambda _: types.Value_Null(),
            bool: types.Value_Boolean,
            int: types.Value_Integer,
            float: types.Value_Double,
            str: types.Value_Text,
            bytes: types.Value_Bytes,
            Timestamp: lambda value: types.Value_Timestamp(value.nanoseconds),
            datetime: _datetime_value,
            list: _list_value,
            tuple: _list_value,
        }
    )
    for name in ("mid", "spread", "spread_bps", "imbalance"):
        setattr(types.Quote, name, getattr(_Views, name))
    filter_class, map_class = _exported
    _check(kind, filter_class, map_class)
    calls = {}

    class Lifecycle:
        def configure(self, tenant, config):
            try:
                config = json.loads(config)
                filter = filter_class(tenant, config) if filter_class else None
                map = filter if map_class is filter_class else map_class(tenant, config) if map_class else None
                calls["filter"] = _FilterCalls(filter) if filter_class else None
                calls["map"] = _MapCalls(map) if map_class else None
            except ValueError as told:
                raise problem(str(told)) from None
            except Exception as slip:
                raise problem(f"{type(slip).__name__}: {slip}") from None
            # What lives now lives as long as the instance; the collector need not look at it again.
            gc.freeze()
            columns, reasons = types.Columns(0), []
            if calls["filter"]:
                for name in calls["filter"].columns:
                    columns |= getattr(types.Columns, name.upper())
                reasons = calls["filter"].reasons
            return types.Manifest(columns, reasons)

    class Filter:
        def filter_quotes(self, quotes):
            return _told(calls["filter"], quotes)

    class Mapping:
        def map_quotes(self, quotes):
            return _told(calls["map"], quotes)

    # Last: what goes wrong until here goes wrong in a build, where there is no host to tell.
    sys.stdout, sys.stderr = _Lines("info"), _Lines("warn")
    return Lifecycle, Filter, Mapping
