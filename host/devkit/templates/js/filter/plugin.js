// Refuses quotes whose spread is too wide, and quotes that lack a side.

import { keep, refuse, settings } from "./quotegate/quotegate.js";

/** The filter. It sees every quote of its tenant, in order; what it remembers stays from one quote to the next. */
class Spread {
  // What `judge` reads beside `quote.symbol`. The host sends nothing else: fewer are faster.
  static columns = ["bidPrice", "askPrice"];
  // They appear in metrics and heartbeats, with the number of quotes refused for each.
  static reasons = ["one_sided", "wide"];

  // Called once, with the `config` table of the tenant's settings. An error is a sentence that names the setting and the
  // remedy: the host shows it and does not start. `settings` refuses keys that are not here and values of another type.
  constructor(tenant, config) {
    const { max_spread_bps } = settings(config, { max_spread_bps: 20.0 });
    if (max_spread_bps <= 0) throw new Error(`max_spread_bps = ${max_spread_bps}: This must be above 0.`);
    this.maxSpreadBps = max_spread_bps;
  }

  judge(quote) {
    const spread = quote.spreadBps; // in basis points of the price half way between bid and ask
    if (spread === null) return refuse("one_sided");
    return spread > this.maxSpreadBps ? refuse("wide") : keep;
  }
}

export default { filter: Spread };
