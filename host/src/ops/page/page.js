// Shows what /api/events sends. Everything that comes from there is untrusted text: it goes into text nodes only.

const $ = (id) => document.getElementById(id);
const TOKEN = "quotegate.token";
/** No sign of the host for so long, and it is gone: it sends something every second or so. */
const SILENCE = 10_000;
/** As old as this is stale: the rule of the UIs. */
const STALE = 30_000;
/** Rates and latencies are those of so long. */
const WINDOW = { rates: 5_000, latency: 60_000 };

const view = {
  state: null,
  /** States of the last minute, for rates. */
  past: [],
  /** The host's clock minus ours. */
  offset: 0,
  tenant: decodeHash(),
  quotes: new Map(),
  symbols: 0,
  sort: { key: "symbol", down: false },
  search: "",
  /** When the host was last heard, if it is gone. */
  gone: null,
};

// ---- the stream ----------------------------------------------------------------------------------------------------

/** Ends the stream that is there, so that the next one can ask for another tenant. */
let again = new AbortController();

async function watch() {
  let pause = 500;
  for (;;) {
    again = new AbortController();
    const chosen = again.signal;
    let problem;
    try {
      problem = await listen(chosen, () => { pause = 500; });
    } catch (error) {
      problem = error instanceof TypeError ? "it does not answer" : String(error.message || error);
    }
    if (chosen.reason === "choice") continue;
    lost(problem);
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 5_000);
  }
}

/** Listens until the stream ends; gives what was wrong. */
async function listen(chosen, heard) {
  const silence = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error("it says nothing")), SILENCE);
  };
  alive();
  try {
    const token = sessionStorage.getItem(TOKEN);
    const query = view.tenant ? `?tenant=${encodeURIComponent(view.tenant)}` : "";
    const answer = await fetch(`api/events${query}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.any([chosen, silence.signal]),
    });
    if (answer.status === 401) {
      clearTimeout(timer);
      await askForToken(token !== null);
      return "a token was wanted";
    }
    if (answer.status === 404) {
      view.tenant = null;
      return "it has no such tenant any more";
    }
    if (!answer.ok) return (await answer.text()).trim() || `it answers ${answer.status}`;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "the connection has ended";
      alive();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) take(event);
      heard();
      if (events.length > 0) found();
    }
  } finally {
    clearTimeout(timer);
  }
}

function take(event) {
  const [name, data] = event.split("\n");
  const value = JSON.parse(data.slice("data: ".length));
  if (name === "event: state") takeState(value);
  if (name === "event: quotes") takeQuotes(value);
}

function found() {
  $("ask").hidden = true;
  $("main").hidden = view.state === null;
  if (view.gone === null) return;
  view.gone = null;
  $("gone").hidden = true;
  $("main").classList.remove("old");
  showBadge();
}

function lost(problem) {
  view.gone ??= { since: Date.now(), heard: view.state !== null };
  view.gone.problem = problem;
  $("main").classList.add("old");
  const since = clock(view.gone.since);
  $("gone").hidden = !$("ask").hidden;
  const what = view.gone.heard ? `The host has been gone since ${since}` : "The host cannot be watched";
  const old = view.gone.heard ? " What you see below is old." : "";
  // Said once: an alert is read aloud whenever it changes.
  write($("gone"), `${what}: ${problem}.${old} This page looks for it again and again.`);
  showBadge();
}

function askForToken(wrong) {
  $("ask").hidden = false;
  $("gone").hidden = true;
  $("main").hidden = true;
  write($("ask-problem"), wrong ? "That was not the token." : "");
  sessionStorage.removeItem(TOKEN);
  $("token").focus();
  return new Promise((done) => {
    $("ask").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, $("token").value);
      $("token").value = "";
      done();
      again.abort("choice");
    };
  });
}

// ---- what comes ----------------------------------------------------------------------------------------------------

function takeState(state) {
  const now = state.time / 1e6;
  view.offset = now - Date.now();
  if (view.state && view.state.started !== state.started) view.past = [];
  view.state = state;
  view.past.push(state);
  while (view.past.length > 2 && view.past[0].time / 1e6 < now - WINDOW.latency) view.past.shift();
  showState();
}

function takeQuotes({ tenant, full, symbols, rows }) {
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

// ---- quotes --------------------------------------------------------------------------------------------------------

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
  put(bid, price(quote.bid), before);
  put(bidSize, size(quote.bidSize));
  put(ask, price(quote.ask), before);
  put(askSize, size(quote.askSize));
  put(spread, quote.spread === null ? "–" : quote.spread.toFixed(1));
  showAge(quote);
}

/** Writes what has changed; shows for a moment that a price did. */
function put(cell, text, flash) {
  if (cell.textContent === text) return;
  cell.textContent = text;
  if (!flash) return;
  cell.classList.add("new");
  setTimeout(() => cell.classList.remove("new"), 300);
}

function showAge(quote) {
  const age = Math.max(0, hostNow() - quote.received);
  const cell = quote.row.lastElementChild;
  put(cell, ago(age));
  cell.classList.toggle("fresh", age < 5_000);
  cell.classList.toggle("old", age >= STALE);
}

/** Puts the rows in order, moving only those that are elsewhere. */
function arrange() {
  const { key, down } = view.sort;
  const wanted = view.search.toUpperCase();
  const shown = [...view.quotes.values()].filter((quote) => quote.symbol.toUpperCase().includes(wanted));
  const sign = down ? -1 : 1;
  const by = key === "age" ? (quote) => -quote.received : (quote) => quote[key];
  shown.sort((one, other) => {
    const [a, b] = [by(one), by(other)];
    // What has no value comes last either way.
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
  const came = view.state?.tenants.find(({ id }) => id === view.tenant)?.quotes > 0;
  const none = came ? "No quote has passed the filters of this tenant yet." : "No quote yet.";
  const unlike = "No symbol with these letters.";
  write($("no-rows"), shown.length > 0 ? "" : view.quotes.size === 0 ? none : unlike);
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

$("tenant").addEventListener("change", () => {
  view.tenant = $("tenant").value;
  history.replaceState(null, "", `#${encodeURIComponent(view.tenant)}`);
  again.abort("choice");
});

function decodeHash() {
  const name = location.hash.slice(1);
  // The skip link's target is no tenant.
  if (name === "" || name === "quotes") return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}

// ---- the state -----------------------------------------------------------------------------------------------------

function showState() {
  const { state } = view;
  const { feed, sink, tenants } = state;
  const sum = (key) => (at) => at.tenants.reduce((all, tenant) => all + tenant[key], 0);
  write($("identity"), `${state.instance} · ${state.version} · up ${ago((state.time - state.started) / 1e6)}${state.dry_run ? " · dry run" : ""}`);

  const cause = feed.connection.cause ? ` (${feed.connection.cause})` : "";
  const connected = ["streaming", "replaying"].includes(state.connection);
  write($("connection"), state.connection.replace("_", " ") + cause);
  $("connection").className = connected ? "" : "bad";
  const retries = Object.values(feed.retries).reduce((all, one) => all + one, 0);
  const since = feed.since ? `for ${ago((state.time - feed.since) / 1e6)}` : "";
  write($("connection-more"), `${since}${retries ? `, ${count(retries)} reconnects` : ""}`);

  write($("quotes-rate"), `${rate((at) => at.feed.quotes)}/s`);
  const last = feed.last_received_time ? `last ${ago((state.time - feed.last_received_time) / 1e6)} ago` : "none yet";
  write($("quotes-more"), `${count(feed.quotes)} in all, ${last}`);

  const limit = state.write_limit;
  const writes = rateOf(sum("written"));
  write($("writes-rate"), `${writes === null ? "–" : short(writes)}/s`);
  $("writes-meter").max = limit.per_second;
  $("writes-meter").value = Math.min(writes ?? 0, limit.per_second);
  write($("writes-more"), `of ${short(limit.per_second)}/s allowed, ${count(state.tokens)} of ${count(limit.burst)} tokens left`);

  write($("dirty"), `${count(sum("dirty")(state))} dirty`);
  write($("dirty-more"), `${count(sum("due")(state))} of them due, ${count(sum("in_flight")(state))} in flight`);

  const bounds = state.latency_bounds_seconds;
  const [half, most] = quantiles(bounds, "tick_to_commit");
  write($("latency"), half);
  write($("latency-more"), half === "–" ? "no write in the last minute"
    : `99 % ${most}; half of them to the sink ${quantiles(bounds, "tick_to_sink")[0]}`);

  write($("sink"), sink.failing ? "failing" : sink.requests === 0 ? "not used yet" : "works");
  $("sink").className = sink.failing ? "bad" : "";
  write($("sink-more"), sink.failing && sink.last_error ? sink.last_error
    : `${count(sink.written)} written, ${count(sink.retried)} sent again, ${count(sink.refused)} refused`);

  showTenants(tenants, state.tenant_count);
  showPlugins(tenants);
  showErrors(state.recent_errors);
  showBadge();
}

function showBadge() {
  const verdict = view.gone ? { state: "offline", reason: "the host is gone" } : view.state?.liveness;
  if (!verdict) return;
  const word = verdict.state.toUpperCase();
  $("badge").dataset.state = verdict.state;
  if (write($("badge"), word)) {
    document.title = `${word} · quotegate`;
    // For those who hear the page: the word when it changes, not every number.
    write($("said"), `${word}${verdict.reason ? `: ${verdict.reason}` : ""}`);
  }
  write($("reason"), verdict.reason ?? trouble());
}

/** Quotes may be alive while a tenant is not well. */
function trouble() {
  const { tenants, tenant_count: all } = view.state;
  const unwell = tenants.filter(({ status }) => status !== "running");
  if (unwell.length === 0) return "";
  const [{ id, status }] = unwell;
  return unwell.length === 1 && all > 1 ? `but tenant ${id} is ${status}` : `but ${unwell.length} of ${all} tenants not running`;
}

function showTenants(tenants, all) {
  keyed($("tenants"), tenants, (tenant) => tenant.id, (row, tenant) => {
    const past = (key) => rate((at) => at.tenants.find(({ id }) => id === tenant.id)?.[key]);
    cells(row, tenant.id, [
      ["Status", [badge(tenant.liveness.state.toUpperCase(), tenant.liveness.state), badge(tenant.status, tenant.status)],
        tenant.reason ?? tenant.liveness.reason],
      ["Quotes/s", past("quotes")],
      ["Writes/s", past("written")],
      ["Dirty", count(tenant.dirty)],
      ["Due", count(tenant.due)],
      ["In flight", count(tenant.in_flight)],
      ["Filtered", count(tenant.filtered)],
      ["Conflated", count(tenant.conflated)],
      ["Lost", count(tenant.lost)],
    ]);
  });
  write($("tenants-cut"), all > tenants.length ? `${count(tenants.length)} of ${count(all)} tenants, those in trouble first.` : "");
  const names = tenants.map(({ id }) => id);
  if (view.tenant && !names.includes(view.tenant)) names.unshift(view.tenant);
  const select = $("tenant");
  if (names.join("\n") !== [...select.options].map(({ value }) => value).join("\n")) {
    select.replaceChildren(...names.map((name) => new Option(name, name)));
  }
  if (view.tenant && select.value !== view.tenant) select.value = view.tenant;
  $("tenant-label").hidden = names.length < 2;
}

function showPlugins(tenants) {
  const plugins = tenants.flatMap(({ id, plugins }) => plugins.map((plugin) => ({ id, plugin })));
  $("plugin-section").hidden = plugins.length === 0;
  const several = tenants.length > 1;
  keyed($("plugins"), plugins, ({ id, plugin }) => `${id}/${plugin.name}`, (row, { id, plugin }) => {
    const seconds = rateOf((at) => at.tenants.find((tenant) => tenant.id === id)?.plugins
      .find(({ name }) => name === plugin.name)?.seconds);
    const failures = Object.entries(plugin.failures);
    const each = plugin.quotes_seen ? `${short((plugin.seconds * 1e6) / plugin.quotes_seen)} µs` : "–";
    cells(row, several ? `${id} · ${plugin.name}` : plugin.name, [
      ["State", [badge(plugin.state, plugin.state)], plugin.last_problem],
      ["Quotes", count(plugin.quotes_seen)],
      // A filter keeps, a map makes documents; few do both.
      ["Kept", plugin.quotes_kept || !plugin.documents ? count(plugin.quotes_kept) : "–"],
      ["Documents", plugin.documents || !plugin.quotes_kept ? count(plugin.documents) : "–"],
      ["A quote", each],
      ["Of a core", seconds === null ? "–" : `${short(seconds * 100)} %`],
      ["Memory", `${short(plugin.memory_bytes / 1_048_576)} MiB`],
      ["Failures", count(failures.reduce((all, [, times]) => all + times, 0))],
    ]);
  });
}

function showErrors(errors) {
  $("no-errors").hidden = errors.length > 0;
  keyed($("errors"), errors, (error) => [error.severity, error.event_type, error.message, error.details].join(), (item, error) => {
    if (!item.firstChild) {
      const text = document.createElement("span");
      text.className = "text";
      item.append(document.createElement("time"), badge(error.severity.toLowerCase(), error.severity), text);
    }
    const [time, , text] = item.children;
    write(time, clock(error.time / 1e6));
    const details = error.details ? ` · ${error.details}` : "";
    write(text, `${error.message}${details}${error.count > 1 ? ` (${count(error.count)} times)` : ""}`);
  }, "li");
}

/** Makes the children of `parent` those of `items`, keeping the elements of those that stay. */
function keyed(parent, items, keyOf, fill, kind = "tr") {
  const held = new Map([...parent.children].map((child) => [child.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = held.get(key);
    held.delete(key);
    if (!child) {
      child = document.createElement(kind);
      child.key = key;
    }
    fill(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of held.values()) child.remove();
}

/** A row: its name, then cells of `[label, text]` or `[label, badges, reason]`. */
function cells(row, name, wanted) {
  if (!row.firstChild) {
    const head = document.createElement("th");
    head.scope = "row";
    row.append(head);
    for (const [label, content] of wanted) {
      const cell = document.createElement("td");
      cell.dataset.label = label;
      if (typeof content === "string") cell.className = "number";
      row.append(cell);
    }
  }
  write(row.firstChild, name);
  wanted.forEach(([, content, reason], at) => {
    const cell = row.children[at + 1];
    if (typeof content === "string") return write(cell, content);
    const said = content.map(({ textContent }) => textContent).join() + (reason ?? "");
    if (cell.said === said) return;
    cell.said = said;
    const why = document.createElement("span");
    why.className = "why";
    why.textContent = reason ?? "";
    const badges = document.createElement("span");
    badges.className = "badges";
    badges.append(...content.flatMap((one) => [one, " "]));
    cell.replaceChildren(badges, ...(reason ? [why] : []));
  });
}

function badge(text, state) {
  const element = document.createElement("span");
  element.className = "badge";
  element.dataset.state = state;
  element.textContent = text;
  return element;
}

/** Leaves alone what is right already. */
function write(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

// ---- numbers -------------------------------------------------------------------------------------------------------

/** The state so long ago, or the oldest that is known. */
function before(window) {
  const then = view.state.time / 1e6 - window;
  return view.past.findLast((at) => at.time / 1e6 <= then) ?? view.past[0];
}

/** How much a counter grew in a second; null if that is not known. */
function rateOf(counter) {
  const then = before(WINDOW.rates);
  const seconds = (view.state.time - then.time) / 1e9;
  const [old, now] = [counter(then), counter(view.state)];
  if (seconds <= 0 || old === undefined || now === undefined) return null;
  return Math.max(0, now - old) / seconds;
}

function rate(counter) {
  const found = rateOf(counter);
  return found === null ? "–" : short(found);
}

/** Half and 99 of 100 in the last minute took at most so long. */
function quantiles(bounds, key) {
  const then = before(WINDOW.latency)[key].counts;
  const now = view.state[key].counts;
  const counts = now.map((all, at) => all - (view.past.length > 1 ? then[at] : 0));
  const all = counts.reduce((sum, one) => sum + one, 0);
  if (all === 0) return ["–", "–"];
  const within = (part) => {
    let seen = 0;
    const at = counts.findIndex((one) => (seen += one) >= all * part);
    return at < bounds.length ? `≤ ${bounds[at] < 1 ? `${short(bounds[at] * 1000)} ms` : `${short(bounds[at])} s`}` : `> ${bounds.at(-1)} s`;
  };
  return [within(0.5), within(0.99)];
}

const hostNow = () => Date.now() + view.offset;
const clock = (millis) => new Date(millis).toLocaleTimeString([], { hourCycle: "h23" });
const count = (number) => number.toLocaleString("en-US");
const short = (number) => number.toLocaleString("en-US", { maximumFractionDigits: number < 10 ? 1 : 0 });
const size = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 4 });

function price(number) {
  if (number === null) return "–";
  return number.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: number < 10 ? 6 : 4 });
}

function ago(millis) {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

setInterval(() => {
  if (view.gone === null) for (const quote of view.quotes.values()) showAge(quote);
}, 1000);

arrange();
watch();
