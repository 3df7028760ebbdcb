// Refuses quotes with a wide spread and one-sided quotes.

import { keep, refuse, settings } from "./quotegate/quotegate.js";

/** The filter. It sees every quote of its tenant, in order, and can keep state from one quote to the next. */
class Spread {
  // The columns `judge` reads besides `quote.symbol`. The host sends only these; fewer are faster.
  static columns = ["bidPrice", "askPrice"];
  // The reasons appear in metrics and heartbeats, with the number of quotes refused for each.
  static reasons = ["one_sided", "wide"];

  // Called once, with the `config` table of the tenant's settings. An error should name the bad setting and how
  // to fix it; the host shows it and does not start. `settings` rejects unknown keys and values of the wrong type.
  constructor(tenant, config) {
    const { max_spread_bps } = settings(config, { max_spread_bps: 20.0 });
    if (max_spread_bps <= 0) throw new Error(`max_spread_bps = ${max_spread_bps}: This must be above 0.`);
    this.maxSpreadBps = max_spread_bps;
  }

  judge(quote) {
    const spread = quote.spreadBps; // in basis points of the midpoint
    if (spread === null) return refuse("one_sided");
    return spread > this.maxSpreadBps ? refuse("wide") : keep;
  }
}

export default { filter: Spread };
