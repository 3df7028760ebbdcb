/**
 * Filters and maps for quotegate in plain JavaScript.
 *
 *     import { keep, refuse, settings } from "./quotegate.js";
 *
 *     class SpreadGuard {
 *       static columns = ["bidPrice", "askPrice"];   // the columns `judge` reads; fewer are faster
 *       static reasons = ["spread"];                 // why it can refuse a quote
 *
 *       constructor(tenant, config) {
 *         this.most = settings(config, { max_spread_bps: 20 }).max_spread_bps;
 *       }
 *
 *       judge(quote) {
 *         return quote.spreadBps > this.most ? refuse("spread") : keep;
 *       }
 *     }
 *
 *     export default { filter: SpreadGuard };
 *
 * `judge` gets the same object for every quote, with new values, so copy what you want to keep. A map has a method
 * `map(quote)`, which returns the documents to write. If filter and map are the same class, they share one object. There
 * is no network or file access, and in the plugin `Date.now()`, `new Date()` and `Math.random()` throw: use the quote's
 * times. `console` output goes to the host's log. The same modules run under Node, where the host functions do nothing.
 *
 * @typedef {object} Quote
 * @property {string} symbol
 * @property {number} bidPrice best bid in USD; 0 if this side has no quote
 * @property {number} bidSize in the feed's unit: shares since November 2025
 * @property {number} askPrice
 * @property {number} askSize
 * @property {string | null} bidExchange one letter
 * @property {string | null} askExchange
 * @property {string | null} tape one letter
 * @property {string} conditions up to four letters, in order
 * @property {bigint} eventTime when the exchange made the quote, in nanoseconds since 1970 UTC
 * @property {bigint} receivedTime when it arrived at the host, also in nanoseconds
 * @property {number | null} mid midpoint of bid and ask; null if a side has no quote
 * @property {number | null} spread ask minus bid in USD, negative for a crossed quote; null if a side has no quote
 * @property {number | null} spreadBps the spread in basis points of `mid`; null if a side has no quote
 * @property {number | null} imbalance 1 is all bid, -1 all ask; null if both sizes are 0
 * @property {Document[]} earlier in `map`: the documents of the previous map, if that map has `chain = true`
 */

/** The columns of a quote besides its `symbol`. */
export const COLUMNS = [
  "bidPrice", "bidSize", "askPrice", "askSize", "bidExchange", "askExchange", "tape", "conditions", "eventTime",
  "receivedTime",
];

/** `judge` returns this for a quote that passes. */
export const keep = null;

/** `judge` returns this for a quote that does not pass, with a name from the filter's `reasons`. */
export const refuse = (reason) => reason;

/**
 * A document to write, for when it needs more than fields.
 *
 * `fields` maps names to values. Each dot in a name is one level of nesting, and so is a plain object. A number becomes a
 * double, a BigInt an integer. Other values can be null, a boolean, a string, `timestamp(…)` or a Date, a Uint8Array, or a
 * list of numbers or strings.
 */
export class Document {
  constructor(fields, { id = null, collection = null } = {}) {
    this.fields = fields;
    /** null means the quote's symbol. */
    this.id = id;
    /** null means the tenant's own collection. */
    this.collection = collection;
  }
}

/** An integer as a field's value. */
export const integer = (number) => BigInt(number);

class Timestamp {
  constructor(nanoseconds) {
    this.nanoseconds = nanoseconds;
  }
}

/** A point in time as a field's value: nanoseconds since 1970 UTC, as a BigInt. Firestore stores microseconds. */
export const timestamp = (nanoseconds) => new Timestamp(BigInt(nanoseconds));

/**
 * Validates the plugin's `config`: `settings(config, { max_spread_bps: 20, venue: String })`.
 *
 * Give each name its default, which also sets its type, or String, Number, Boolean, Array or Object if it is required.
 */
export function settings(config, known) {
  for (const name of Object.keys(config)) {
    if (!Object.hasOwn(known, name)) {
      throw new Error(`${name}: There is no such setting. There is ${Object.keys(known).join(", ")}.`);
    }
  }
  const checked = {};
  for (const [name, standard] of Object.entries(known)) {
    const required = typeof standard === "function";
    const kind = required ? standard.name : kindOf(standard);
    const given = Object.hasOwn(config, name);
    if (given && kindOf(config[name]) !== kind) {
      throw new Error(`${name} = ${JSON.stringify(config[name])}: This must be ${KINDS[kind]}.`);
    }
    if (!given && required) throw new Error(`${name} is missing. Give ${KINDS[kind]}.`);
    checked[name] = given ? config[name] : standard;
  }
  return checked;
}

const kindOf = (value) => (Array.isArray(value) ? "Array" : value === null ? "null" : value.constructor.name);
const KINDS = { Boolean: "true or false", Number: "a number", String: "a text", Array: "a list", Object: "a table" };

let host = { log() {}, count() {}, gauge() {} };

/** Writes a line to the host's log; `level` is "debug", "info", "warn" or "error". */
export const log = (level, text) => host.log(level, String(text));

/** Adds to one of this plugin's own counters. Names: letters, digits, - and _, at most 64 characters; at most 64 names. */
export const count = (name, delta = 1) => host.count(name, BigInt(delta));

/** Sets one of this plugin's own gauges. Names as for `count`. */
export const gauge = (name, value) => host.gauge(name, value);

// Below: the code between this API and the WIT. Not public API.

/** How many times 1/scale a price is, or NaN if it is not a whole multiple. */
function unitsOf(price, scale) {
  const units = Math.round(price * scale);
  return units < 2 ** 51 && units / scale === price ? units : NaN;
}

/** The midpoint as a decimal number: 148.395 between 148.39 and 148.40, not 148.39499999999998. */
function midOf(bid, ask) {
  for (let scale = 100; scale <= 1e15; scale *= 10) {
    const mid = (unitsOf(bid, scale) + unitsOf(ask, scale)) / (2 * scale);
    if (mid > 0) return mid;
  }
  return (bid + ask) / 2;
}

/** Values computed from a quote's columns. */
const VIEWS = {
  get mid() {
    return this.bidPrice > 0 && this.askPrice > 0 ? midOf(this.bidPrice, this.askPrice) : null;
  },
  get spread() {
    return this.bidPrice > 0 && this.askPrice > 0 ? this.askPrice - this.bidPrice : null;
  },
  get spreadBps() {
    const bid = this.bidPrice, ask = this.askPrice;
    return bid > 0 && ask > 0 ? ((ask - bid) / ((bid + ask) / 2)) * 10_000 : null;
  },
  get imbalance() {
    const total = this.bidSize + this.askSize;
    return total > 0 ? (this.bidSize - this.askSize) / total : null;
  },
};

const LETTERS = Array.from({ length: 256 }, (_, byte) => (byte === 0 ? null : String.fromCharCode(byte)));

/** Unpacks letters, the first in the lowest byte, into a string. */
const conditions = new Map();
function conditionText(packed) {
  let text = conditions.get(packed);
  if (text === undefined) {
    text = "";
    for (let rest = packed; rest !== 0; rest >>>= 8) text += String.fromCharCode(rest & 255);
    conditions.set(packed, text);
  }
  return text;
}

/** How a column's entry becomes the value that the author reads. */
const READ = {
  bidExchange: (entry) => `letters[${entry}]`,
  askExchange: (entry) => `letters[${entry}]`,
  tape: (entry) => `letters[${entry}]`,
  conditions: (entry) => `conditionText(${entry})`,
};

/** A quote with these columns; reading any other column throws an error that says what to do. */
function quoteWith(columns) {
  const quote = Object.create(VIEWS);
  for (const column of ["symbol", ...columns]) quote[column] = null;
  for (const column of COLUMNS.filter((column) => !columns.includes(column))) {
    Object.defineProperty(quote, column, {
      get() {
        throw new Error(`a quote here has no ${column}; add "${column}" to the filter's columns`);
      },
    });
  }
  return quote;
}

/**
 * The loop over a batch, generated for these columns: an interpreter is fast when it has nothing to look up. One quote
 * object is used for all rows, which halves the cost per row.
 */
function batchLoop(columns) {
  const entries = columns.map((column) => `quote.${column} = ${(READ[column] ?? String)(`${column}[row]`)};`);
  return new Function(
    "letters", "conditionText", "quote", "names", "filter", "codes", "unknown", `{ symbol, ${columns} }`,
    `const verdicts = new Uint8Array(symbol.length);
    for (let row = 0; row < symbol.length; row++) {
      quote.symbol = names[symbol[row]];
      ${entries.join(" ")}
      const verdict = filter.judge(quote);
      if (verdict != null) verdicts[row] = codes.get(verdict) ?? unknown(verdict);
    }
    return verdicts;`,
  );
}

class FilterCalls {
  constructor(filter, { columns = COLUMNS, reasons = [] }) {
    for (const column of columns) {
      if (!COLUMNS.includes(column)) throw new Error(`columns has "${column}"; there are ${COLUMNS.join(", ")}.`);
    }
    this.manifest = { columns: Object.fromEntries(columns.map((column) => [column, true])), reasons };
    this.names = [];
    const codes = new Map(reasons.map((reason, at) => [reason, at + 1]));
    const unknown = (verdict) => {
      // The host reports it as a number, and it is logged once: a bug in a rare case must not stop the tenant's quotes.
      log("error", `judge answered ${String(verdict)}, which is neither keep nor one of its reasons`);
      codes.set(verdict, 255);
      return 255;
    };
    this.loop = batchLoop(columns).bind(
      null, LETTERS, conditionText, quoteWith(columns), this.names, filter, codes, unknown,
    );
  }

  run(batch) {
    if (batch.newSymbols) this.names.push(...batch.newSymbols);
    return this.loop(batch);
  }
}

class MapCalls {
  constructor(map) {
    this.map = map;
  }

  run(quotes) {
    return quotes.map((quote) => this.one(quote));
  }

  one(quote) {
    const answer = this.map.map(mapQuote(quote));
    if (answer == null) return [];
    return Array.isArray(answer) ? answer.map(toDocument) : [toDocument(answer)];
  }
}

function mapQuote(quote) {
  Object.setPrototypeOf(quote, VIEWS);
  quote.bidExchange ??= null;
  quote.askExchange ??= null;
  quote.tape ??= null;
  quote.earlier = quote.earlier ? quote.earlier.map(fromDocument) : [];
  return quote;
}

const isPlain = (value) => typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

function toDocument(answer) {
  const fields = [];
  if (answer instanceof Document) {
    addFields(fields, "", answer.fields);
    return { collection: answer.collection, id: answer.id, fields };
  }
  if (!isPlain(answer)) {
    throw new TypeError(`map answered ${String(answer)}; it may answer null, an object of fields, a Document, or a list of these`);
  }
  addFields(fields, "", answer);
  return { fields };
}

function addFields(made, above, fields) {
  for (const name in fields) {
    const path = above + name, value = fields[name];
    if (isPlain(value)) addFields(made, `${path}.`, value);
    else made.push({ path, value: toValue(path, value) });
  }
}

function toValue(path, value) {
  switch (typeof value) {
    case "number": return { tag: "double", val: value };
    case "string": return { tag: "text", val: value };
    case "bigint": return { tag: "integer", val: value };
    case "boolean": return { tag: "boolean", val: value };
  }
  if (value === null) return { tag: "null" };
  if (value instanceof Timestamp) return { tag: "timestamp", val: value.nanoseconds };
  if (value instanceof Date) return { tag: "timestamp", val: BigInt(value.getTime()) * 1_000_000n };
  if (value instanceof Uint8Array) return { tag: "bytes", val: value };
  if (value instanceof Float64Array) return { tag: "doubles", val: value };
  if (Array.isArray(value)) {
    if (value.every((one) => typeof one === "string")) return { tag: "texts", val: value };
    if (value.every((one) => typeof one === "number")) return { tag: "doubles", val: value };
  }
  throw new TypeError(`the field ${path} is ${String(value)}, which no document can hold`);
}

function fromDocument({ fields, id, collection }) {
  const read = fields.map(({ path, value }) => [path, fromValue(value)]);
  return new Document(Object.fromEntries(read), { id: id ?? null, collection: collection ?? null });
}

function fromValue({ tag, val }) {
  if (tag === "null") return null;
  if (tag === "timestamp") return new Timestamp(val);
  return tag === "doubles" ? Array.from(val) : val;
}

/** Calls, and logs what was thrown: the host itself only sees that the plugin failed. */
function told(call) {
  try {
    return call();
  } catch (problem) {
    const places = String(problem?.stack ?? "").trim().split("\n");
    const place = places.find((line) => !/quotegate\.(repeatable\.)?js/.test(line)) ?? places[0];
    log("error", `${problem} (${place})`);
    throw problem;
  }
}

const CONSOLE = { debug: "debug", log: "info", info: "info", warn: "warn", error: "error" };

/** Checks that `plugin.js` exports what `plugin.toml` says, which decides the component's world. */
function check(kind, FilterClass, MapClass) {
  const found = FilterClass && MapClass ? "both" : FilterClass ? "filter" : MapClass ? "map" : "nothing";
  if (found === kind) return;
  const wanted = { filter: "{ filter: … }", map: "{ map: … }", both: "{ filter: …, map: … }" }[kind];
  throw new Error(`plugin.toml says kind = "${kind}", but plugin.js exports ${found}: export default ${wanted}`);
}

/** The interfaces that the component exports. */
export function exportsOf(plugin, kind, realHost) {
  host = realHost;
  for (const [name, level] of Object.entries(CONSOLE)) console[name] = (...words) => log(level, words.join(" "));
  const { filter: FilterClass, map: MapClass } = plugin ?? {};
  check(kind, FilterClass, MapClass);
  let filterCalls, mapCalls;
  const start = (tenant, config) => {
    const filter = FilterClass && new FilterClass(tenant, config);
    const map = MapClass && (MapClass === FilterClass ? filter : new MapClass(tenant, config));
    filterCalls = filter && new FilterCalls(filter, FilterClass);
    mapCalls = map && new MapCalls(map);
  };
  return {
    lifecycle: {
      configure(tenant, config) {
        try {
          start(tenant, JSON.parse(config));
        } catch (problem) {
          // The interface's error is a string; for a bug in the code, the error's name is added.
          throw problem?.name === "Error" ? problem.message : String(problem);
        }
        return filterCalls?.manifest ?? { columns: {}, reasons: [] };
      },
    },
    filter: { filterQuotes: (batch) => told(() => filterCalls.run(batch)) },
    mapping: { mapQuotes: (quotes) => told(() => mapCalls.run(quotes)) },
  };
}
