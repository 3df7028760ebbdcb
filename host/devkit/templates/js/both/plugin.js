// Refuses quotes with a wide spread and one-sided quotes, and makes one document from each of the others.

import { keep, refuse, settings, timestamp } from "./quotegate/quotegate.js";

// The `config` table of the tenant's settings; filter and map get the same one. An error should name the bad
// setting and how to fix it; the host shows it and does not start. `settings` rejects unknown keys and values of the
// wrong type.
function read(config) {
  const { max_spread_bps, source } = settings(config, { max_spread_bps: 20.0, source: "alpaca" });
  if (max_spread_bps <= 0) throw new Error(`max_spread_bps = ${max_spread_bps}: This must be above 0.`);
  if (source === "") throw new Error("source is empty. Say where the quotes come from, or leave it out.");
  return { maxSpreadBps: max_spread_bps, source };
}

/** The filter. It sees every quote of its tenant, in order, and can keep state from one quote to the next. */
class Spread {
  // The columns `judge` reads besides `quote.symbol`. The host sends only these; fewer are faster.
  static columns = ["bidPrice", "askPrice"];
  // The reasons appear in metrics and heartbeats, with the number of quotes refused for each.
  static reasons = ["one_sided", "wide"];

  constructor(tenant, config) {
    this.maxSpreadBps = read(config).maxSpreadBps;
  }

  judge(quote) {
    const spread = quote.spreadBps; // in basis points of the midpoint
    if (spread === null) return refuse("one_sided");
    return spread > this.maxSpreadBps ? refuse("wide") : keep;
  }
}

/** The map. It sees only quotes that are about to be written. */
class Documents {
  constructor(tenant, config) {
    this.source = read(config).source;
  }

  // Returns the fields of a document in the tenant's collection, with the symbol as its id; to choose these, return
  // `new Document(fields, { id, collection })`. A list makes several documents; null leaves the quote to the next map.
  // A number becomes a double; `integer(…)` or a BigInt becomes an integer.
  map(quote) {
    return {
      symbol: quote.symbol,
      bid: quote.bidPrice || null, // 0 if the side has no quote
      ask: quote.askPrice || null,
      mid: quote.mid,
      source: this.source,
      updated_at: timestamp(quote.eventTime),
    };
  }
}

export default { filter: Spread, map: Documents };
