// The table of quotes.

import { $, STALE, ago, count, hostNow, price, size, view, write } from "./view.js";

export function updateQuotes({ tenant, full, symbols, rows }) {
  if (full) {
    view.quotes.clear();
    $("rows").replaceChildren();
    view.tenant = tenant;
  }
  view.symbols = symbols;
  for (const [symbol, bid, ask, bidSize, askSize, event, received] of rows) {
    const before = view.quotes.get(symbol);
    const spread = bid !== null && ask !== null ? ((ask - bid) / ((ask + bid) / 2)) * 1e4 : null;
    const quote = { symbol, bid, ask, bidSize, askSize, event, received, spread, row: before?.row };
    view.quotes.set(symbol, quote);
    showQuote(quote, before);
  }
  arrange();
}

const COLUMNS = ["bid", "bidSize", "ask", "askSize", "spread", "age"];

function showQuote(quote, before) {
  if (!quote.row) {
    quote.row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = quote.symbol;
    quote.row.append(name);
    for (const key of COLUMNS) {
      const cell = document.createElement("td");
      cell.className = `number${["bidSize", "askSize", "spread"].includes(key) ? " wide" : ""}${["bid", "ask"].includes(key) ? " price" : ""}`;
      quote.row.append(cell);
    }
  }
  const [, bid, bidSize, ask, askSize, spread] = quote.row.children;
  writeCell(bid, price(quote.bid), before);
  writeCell(bidSize, size(quote.bidSize));
  writeCell(ask, price(quote.ask), before);
  writeCell(askSize, size(quote.askSize));
  writeCell(spread, quote.spread === null ? "–" : quote.spread.toFixed(1));
  showAge(quote);
}

/** Writes a cell if it changed. `flash` highlights the change for a moment. */
function writeCell(cell, text, flash) {
  if (cell.textContent === text) return;
  cell.textContent = text;
  if (!flash) return;
  cell.classList.add("new");
  setTimeout(() => cell.classList.remove("new"), 300);
}

function showAge(quote) {
  const age = Math.max(0, hostNow() - quote.received);
  const cell = quote.row.lastElementChild;
  writeCell(cell, ago(age));
  cell.classList.toggle("fresh", age < 5_000);
  cell.classList.toggle("old", age >= STALE);
}

/** Sorts the rows, and moves only those in the wrong place. */
export function arrange() {
  const { key, down } = view.sort;
  const wanted = view.search.toUpperCase();
  const shown = [...view.quotes.values()].filter((quote) => quote.symbol.toUpperCase().includes(wanted));
  const sign = down ? -1 : 1;
  const by = key === "age" ? (quote) => -quote.received : (quote) => quote[key];
  shown.sort((one, other) => {
    const [a, b] = [by(one), by(other)];
    // Rows without a value come last in both directions.
    if (a === null || b === null) return (a === null) - (b === null) || compare(one.symbol, other.symbol);
    return sign * compare(a, b) || compare(one.symbol, other.symbol);
  });
  const body = $("rows");
  let place = body.firstElementChild;
  for (const { row } of shown) {
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
  const cut = view.symbols > view.quotes.size ? `, the first of ${count(view.symbols)}` : "";
  write($("shown"), `${count(shown.length)} of ${count(view.quotes.size)} symbols${cut}`);
  const hasQuotes = view.state?.tenants.find(({ id }) => id === view.tenant)?.quotes > 0;
  const none = hasQuotes ? "No quote has passed this tenant's filters yet." : "No quotes yet.";
  const noMatch = "No symbol matches.";
  write($("no-rows"), shown.length > 0 ? "" : view.quotes.size === 0 ? none : noMatch);
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const { key } = button.dataset;
    view.sort = { key, down: view.sort.key === key && !view.sort.down };
    for (const other of document.querySelectorAll("#quote-table th[aria-sort]")) other.removeAttribute("aria-sort");
    button.parentElement.setAttribute("aria-sort", view.sort.down ? "descending" : "ascending");
    arrange();
  });
}

$("search").addEventListener("input", () => {
  view.search = $("search").value.trim();
  arrange();
});

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  $("search").focus();
});

// Also while the host does not answer: an age that stands still looks fresh.
setInterval(() => {
  for (const quote of view.quotes.values()) showAge(quote);
}, 1000);
