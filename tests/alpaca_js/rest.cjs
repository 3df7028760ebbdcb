// Reads the latest quotes of a simulator over REST with Alpaca's own client and checks them. Exit code 0 if all of them are
// as documented, 1 with the reason if not.
//
//   NODE_PATH=…/node_modules node rest.cjs http://HOST:PORT STOCKS PAIRS OPTIONS, each separated by commas

const assert = require("node:assert");
const { marketData } = require("@alpacahq/alpaca-trade-api");

const MAX_AGE = 10 * 60_000;

function checkQuotes(symbols, quotes) {
  assert.deepStrictEqual(Object.keys(quotes).sort(), symbols.split(",").sort());
  for (const [symbol, quote] of Object.entries(quotes)) {
    assert(quote.bp > 0 || quote.ap > 0, `${symbol} has no price: ${JSON.stringify(quote)}`);
    assert(Math.abs(Date.now() - new Date(quote.t)) < MAX_AGE, `${symbol} has the time ${quote.t}`);
  }
}

const latest = (snapshots) =>
  Object.fromEntries(Object.entries(snapshots).map(([symbol, snapshot]) => [symbol, snapshot.latestQuote]));

async function main([basePath, stocks, pairs, options]) {
  const configuration = new marketData.Configuration({ basePath, keyId: "key", secret: "secret" });
  const stock = new marketData.StockApi(configuration);
  checkQuotes(stocks, (await stock.stockLatestQuotes({ symbols: stocks, feed: "iex" })).quotes);
  checkQuotes(stocks, latest(await stock.stockSnapshots({ symbols: stocks })));
  const [first] = stocks.split(",");
  checkQuotes(first, { [first]: (await stock.stockLatestQuoteSingle({ symbol: first })).quote });
  checkQuotes(first, { [first]: (await stock.stockSnapshotSingle({ symbol: first })).latestQuote });

  const crypto = new marketData.CryptoApi(configuration);
  checkQuotes(pairs, (await crypto.cryptoLatestQuotes({ loc: "us", symbols: pairs })).quotes);
  checkQuotes(pairs, latest((await crypto.cryptoSnapshots({ loc: "us", symbols: pairs })).snapshots));

  const option = new marketData.OptionApi(configuration);
  checkQuotes(options, (await option.optionLatestQuotes({ symbols: options })).quotes);
  checkQuotes(options, latest((await option.optionSnapshots({ symbols: options })).snapshots));

  const stranger = new marketData.StockApi(new marketData.Configuration({ basePath, keyId: "", secret: "" }));
  await assert.rejects(stranger.stockLatestQuotes({ symbols: stocks }), "no key was needed");
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
