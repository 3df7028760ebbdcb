// Keeps quotes on which a round lot can be traded, and formats them for a mobile screen.
//
// Since May 2026 the consolidated tape carries odd-lot quotes too: better prices for a few shares, which make a
// screen flicker and which an order of ordinary size does not get.

import { Document, integer, keep, refuse, settings } from "./quotegate/quotegate.js";
import { badges, roundLot } from "./lots.js";

/** The settings of both the filter and the map. */
function read(config) {
  const read = settings(config, {
    lots: {}, // shares in a round lot, for symbols that do not follow the price tiers
    refuse_conditions: "LNUZ", // closed, non-firm, manual and non-firm, no open or resume
    collection: "", // where the documents go; empty means the tenant's own
    decimals: 2, // for prices of a dollar and more; two more below a dollar
  });
  for (const [symbol, lot] of Object.entries(read.lots)) {
    if (!(Number.isInteger(lot) && lot > 0)) {
      throw new Error(`lots."${symbol}" = ${JSON.stringify(lot)}: This must be a whole number of shares, at least 1.`);
    }
  }
  if (!/^[!-~]*$/.test(read.refuse_conditions)) {
    throw new Error(`refuse_conditions = "${read.refuse_conditions}": Write condition letters with nothing between them.`);
  }
  if (!(Number.isInteger(read.decimals) && read.decimals >= 0 && read.decimals <= 6)) {
    throw new Error(`decimals = ${read.decimals}: This must be a whole number from 0 to 6.`);
  }
  return read;
}

class RoundLots {
  static columns = ["bidPrice", "bidSize", "askPrice", "askSize", "conditions"];
  static reasons = ["condition", "no_quote", "odd_lot"];

  constructor(tenant, config) {
    const { lots, refuse_conditions } = read(config);
    this.lots = lots;
    // One regular expression for all letters: in an interpreter, a loop would cost more than everything else here.
    this.refused = refuse_conditions && new RegExp(`[${refuse_conditions.replace(/[\]\\^-]/g, "\\$&")}]`);
  }

  judge(quote) {
    const bid = quote.bidPrice, ask = quote.askPrice;
    if (this.refused && this.refused.test(quote.conditions)) return refuse("condition");
    if (bid === 0 && ask === 0) return refuse("no_quote"); // a halt empties both sides
    const own = this.lots[quote.symbol];
    // A side without a quote has no size to check.
    if (bid > 0 && quote.bidSize < (own ?? roundLot(bid))) return refuse("odd_lot");
    if (ask > 0 && quote.askSize < (own ?? roundLot(ask))) return refuse("odd_lot");
    return keep;
  }
}

/** Short names and formatted strings, so that a phone can show the document as it is. */
class MobileScreen {
  constructor(tenant, config) {
    const { collection, decimals } = read(config);
    this.collection = collection || null;
    this.decimals = decimals;
  }

  map(quote) {
    const fields = {
      v: integer(1), // schema version, so that released apps know what they are reading
      sym: quote.symbol,
      bid: this.side(quote.bidPrice, quote.bidSize, quote.bidExchange),
      ask: this.side(quote.askPrice, quote.askSize, quote.askExchange),
      mid: quote.mid === null ? null : this.text(quote.mid, 1), // half a cent needs one more digit
      spread_bps: quote.mid === null ? null : Math.round(quote.spreadBps * 10) / 10,
      state: state(quote),
      badges: badges(quote.conditions),
      ms: integer(quote.eventTime / 1_000_000n),
    };
    return new Document(fields, { collection: this.collection });
  }

  side(price, size, venue) {
    return price > 0 ? { px: price, txt: this.text(price), qty: integer(Math.trunc(size)), venue } : null;
  }

  text(price, more = 0) {
    return price.toFixed((price < 1 ? this.decimals + 2 : this.decimals) + more);
  }
}

function state({ bidPrice, askPrice }) {
  if (bidPrice === 0) return "no_bid";
  if (askPrice === 0) return "no_ask";
  if (bidPrice > askPrice) return "crossed";
  return bidPrice === askPrice ? "locked" : "open";
}

export default { filter: RoundLots, map: MobileScreen };
