// Refuses quotes whose spread is too wide or that lack a side, and makes one document of each of the others.

import { keep, refuse, settings, timestamp } from "./quotegate/quotegate.js";

// The `config` table of the tenant's settings; filter and map get the same one. An error is a sentence that names the
// setting and the remedy: the host shows it and does not start. `settings` refuses keys that are not here and values of
// another type.
function read(config) {
  const { max_spread_bps, source } = settings(config, { max_spread_bps: 20.0, source: "alpaca" });
  if (max_spread_bps <= 0) throw new Error(`max_spread_bps = ${max_spread_bps}: This must be above 0.`);
  if (source === "") throw new Error("source is empty. Say where the quotes come from, or leave it out.");
  return { maxSpreadBps: max_spread_bps, source };
}

/** The filter. It sees every quote of its tenant, in order; what it remembers stays from one quote to the next. */
class Spread {
  // What `judge` reads beside `quote.symbol`. The host sends nothing else: fewer are faster.
  static columns = ["bidPrice", "askPrice"];
  // They appear in metrics and heartbeats, with the number of quotes refused for each.
  static reasons = ["one_sided", "wide"];

  constructor(tenant, config) {
    this.maxSpreadBps = read(config).maxSpreadBps;
  }

  judge(quote) {
    const spread = quote.spreadBps; // in basis points of the price half way between bid and ask
    if (spread === null) return refuse("one_sided");
    return spread > this.maxSpreadBps ? refuse("wide") : keep;
  }
}

/** The map. It sees only quotes that are about to be written. */
class Documents {
  constructor(tenant, config) {
    this.source = read(config).source;
  }

  // The fields of a document, which goes to the tenant's collection with the symbol for an id; `new Document(fields,
  // { id, collection })` goes elsewhere. A list makes several, null leaves the quote to the tenant's next map.
  // A number is a double; `integer(…)` or a BigInt is a whole number.
  map(quote) {
    return {
      symbol: quote.symbol,
      bid: quote.bidPrice || null, // 0 where the side has no quote
      ask: quote.askPrice || null,
      mid: quote.mid,
      source: this.source,
      updated_at: timestamp(quote.eventTime),
    };
  }
}

export default { filter: Spread, map: Documents };
