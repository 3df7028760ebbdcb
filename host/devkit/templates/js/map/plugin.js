// Makes one document of each quote.

import { settings, timestamp } from "./quotegate/quotegate.js";

/** The map. It sees only quotes that are about to be written. */
class Documents {
  // Called once, with the `config` table of the tenant's settings. An error is a sentence that names the setting and the
  // remedy: the host shows it and does not start. `settings` refuses keys that are not here and values of another type.
  constructor(tenant, config) {
    const { source } = settings(config, { source: "alpaca" });
    if (source === "") throw new Error("source is empty. Say where the quotes come from, or leave it out.");
    this.source = source;
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

export default { map: Documents };
