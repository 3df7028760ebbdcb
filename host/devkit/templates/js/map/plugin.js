// Makes one document from each quote.

import { settings, timestamp } from "./quotegate/quotegate.js";

/** The map. It sees only quotes that are about to be written. */
class Documents {
  // Called once, with the `config` table of the tenant's settings. An error should name the bad setting and how
  // to fix it; the host shows it and does not start. `settings` rejects unknown keys and values of the wrong type.
  constructor(tenant, config) {
    const { source } = settings(config, { source: "alpaca" });
    if (source === "") throw new Error("source is empty. Say where the quotes come from, or leave it out.");
    this.source = source;
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

export default { map: Documents };
