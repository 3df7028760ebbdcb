import { Document, integer, keep, refuse, settings, timestamp } from "./quotegate/quotegate.js";

class Values {
  static columns = ["bidPrice", "askPrice", "conditions"];
  static reasons = ["wide"];

  constructor(tenant, config) {
    this.most = settings(config, { max_spread_bps: Number, source: "" }).max_spread_bps;
  }

  judge(quote) {
    if (quote.symbol === "MISSPELT") return refuse("wied");
    if (quote.symbol === "SLIP") {
      console.log("words", "on the console");
      return quote.bidSize > 0 ? keep : refuse("wide");
    }
    return quote.spreadBps > this.most ? refuse("wide") : keep;
  }

  map(quote) {
    const fields = {
      nothing: null,
      yes: true,
      double: 3,
      integer: 9007199254740993n,
      text: "µ – €",
      at: timestamp(quote.eventTime),
      date: new Date(Number(quote.eventTime / 1_000_000n)),
      raw: Uint8Array.of(0, 1, 255),
      doubles: [1, 2.5],
      texts: ["a", "b"],
      nested: { one: quote.bidExchange, deep: { two: quote.askExchange } },
      letters: quote.conditions,
    };
    return [fields, new Document({ a: integer(1) }, { id: "second", collection: "other" })];
  }
}

export default { filter: Values, map: Values };
