// Shows what /api/events sends.

import { arrange, updateQuotes } from "./quotes.js";
import { WINDOW, quantiles, rate, rateOf } from "./rates.js";
import { choose, watch } from "./stream.js";
import { $, ago, clock, count, hostNow, short, view, write } from "./view.js";

/** The header has no room for more. */
const MAX_PROBLEMS = 3;

function onEvent(event, value) {
  if (event === "state") updateState(value);
  if (event === "quotes") updateQuotes(value);
}

function onConnected() {
  $("ask").hidden = true;
  $("main").hidden = view.state === null;
  if (view.outage === null) return;
  view.outage = null;
  $("gone").hidden = true;
  $("main").classList.remove("old");
  if (view.state) showState();
}

function onLost(problem) {
  view.outage ??= { since: Date.now(), hadState: view.state !== null };
  $("main").classList.add("old");
  $("gone").hidden = !$("ask").hidden;
  const { since, hadState } = view.outage;
  const what = hadState ? `No connection to the host since ${clock(since)}` : "Cannot connect to the host";
  const old = hadState ? " The data below is old." : "";
  // Without a changing number, because screen readers read an alert aloud whenever it changes.
  write($("gone"), `${what}: ${problem}.${old} Reconnecting…`);
  if (hadState) showState();
  else showBadge();
}

function updateState(state) {
  const now = state.time / 1e6;
  view.offset = now - Date.now();
  if (view.state && view.state.started !== state.started) view.past = [];
  view.state = state;
  view.past.push(state);
  while (view.past.length > 2 && view.past[0].time / 1e6 < now - WINDOW.latency) view.past.shift();
  showState();
}

function showState() {
  const { state, outage } = view;
  const { feed, sink, tenants } = state;
  const sum = (key) => (at) => at.tenants.reduce((all, tenant) => all + tenant[key], 0);
  write($("identity"), `${state.instance} · ${state.version} · up ${ago((state.time - state.started) / 1e6)}${state.dry_run ? " · dry run" : ""}`);

  const cause = feed.connection.cause ? ` (${feed.connection.cause})` : "";
  const connected = ["streaming", "replaying", "standby"].includes(state.connection);
  write($("connection"), outage ? "unknown" : state.connection.replace("_", " ") + cause);
  $("connection").className = connected && !outage ? "" : "bad";
  const retries = Object.values(feed.retries).reduce((all, one) => all + one, 0);
  const since = feed.since ? `for ${ago((state.time - feed.since) / 1e6)}` : "";
  write($("connection-more"), outage ? "" : `${since}${retries ? `, ${count(retries)} reconnects` : ""}${gapText(state)}`);

  write($("quotes-rate"), `${rate((at) => at.feed.quotes)}/s`);
  const last = feed.last_received_time ? `last ${ago(hostNow() - feed.last_received_time / 1e6)} ago` : "none yet";
  write($("quotes-more"), `${count(feed.quotes)} in total, ${last}`);

  const limit = state.write_limit;
  const writes = rateOf(sum("written"));
  write($("writes-rate"), `${writes === null ? "–" : short(writes)}/s`);
  $("writes-meter").max = limit.per_second;
  $("writes-meter").value = Math.min(writes ?? 0, limit.per_second);
  write($("writes-more"), `of ${short(limit.per_second)}/s allowed, ${count(state.tokens)} of ${count(limit.burst)} tokens left`);

  write($("dirty"), `${count(sum("dirty")(state))} dirty`);
  write($("dirty-more"), `${count(sum("due")(state))} due, ${count(sum("in_flight")(state))} in flight`);

  const bounds = state.latency_bounds_seconds;
  const [half, most] = quantiles(bounds, "tick_to_commit");
  write($("latency"), half);
  write($("latency-more"), half === "–" ? "no writes in the last minute"
    : `99% ${most}; half of them passed to the sink in ${quantiles(bounds, "tick_to_sink")[0]}`);

  write($("sink"), outage ? "unknown" : sink.failing ? "failing" : sink.requests === 0 ? "not used yet" : "working");
  $("sink").className = sink.failing || outage ? "bad" : "";
  write($("sink-more"), sink.failing && sink.last_error ? sink.last_error
    : `${count(sink.written)} written, ${count(sink.retried)} retried, ${count(sink.refused)} refused`);

  showUnquoted(feed.unquoted);
  showTenants(tenants, state.tenant_count);
  showPlugins(tenants);
  showHosts(state);
  showErrors(state.recent_errors);
  showBadge();
}

/** The last time without a connection. */
function gapText({ time, feed: { gap } }) {
  if (!gap) return "";
  return `; no quotes for ${ago(((gap.to ?? time) - gap.from) / 1e6)}${gap.to ? `, until ${ago((time - gap.to) / 1e6)} ago` : ""}`;
}

/** Wanted symbols that have never quoted: most likely misspelled. */
function showUnquoted({ count: all, symbols }) {
  const names = symbols.map(({ symbol, nearest }) => (nearest ? `${symbol} (did you mean ${nearest}?)` : symbol));
  const more = all > names.length ? ` and ${count(all - names.length)} more` : "";
  $("unquoted").hidden = all === 0;
  write($("unquoted"), `Wanted, but never quoted: ${names.join(", ")}${more}`);
}

function showBadge() {
  const liveness = view.outage ? { state: "offline", reason: "no connection to the host" } : view.state?.liveness;
  if (!liveness) return;
  const word = liveness.state.toUpperCase();
  $("badge").dataset.state = liveness.state;
  if (write($("badge"), word)) {
    document.title = `${word} · quotegate`;
    // Screen readers read the state aloud when it changes, but not every number.
    write($("said"), `${word}${liveness.reason ? `: ${liveness.reason}` : ""}`);
  }
  write($("reason"), view.outage ? liveness.reason : problems());
}

/** What is wrong with a host that answers. */
function problems() {
  const { liveness, problems } = view.state;
  const quiet = ["quiet", "standby"].includes(liveness.state) ? [liveness.reason] : [];
  const all = [...quiet, ...problems];
  const more = all.length > MAX_PROBLEMS ? ` (and ${count(all.length - MAX_PROBLEMS)} more)` : "";
  const but = liveness.state === "live" && all.length > 0 ? "but " : "";
  return but + all.slice(0, MAX_PROBLEMS).join("; ") + more;
}

function showTenants(tenants, all) {
  syncChildren($("tenants"), tenants, (tenant) => tenant.id, (row, tenant) => {
    const past = (key) => rate((at) => at.tenants.find(({ id }) => id === tenant.id)?.[key]);
    cells(row, tenant.id, [
      ["Status", ...tenantStatus(tenant)],
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
  write($("tenants-cut"), all > tenants.length ? `${count(tenants.length)} of ${count(all)} tenants, those with problems first.` : "");
  const names = tenants.map(({ id }) => id);
  if (view.tenant && !names.includes(view.tenant)) names.unshift(view.tenant);
  const select = $("tenant");
  if (names.join("\n") !== [...select.options].map(({ value }) => value).join("\n")) {
    select.replaceChildren(...names.map((name) => new Option(name, name)));
  }
  if (view.tenant && select.value !== view.tenant) select.value = view.tenant;
  $("tenant-label").hidden = names.length < 2;
}

/** A tenant's badges, and what the header does not say already. */
function tenantStatus({ liveness, status, reason, reason_is_shared: isShared }) {
  if (view.outage) return [[badge("OFFLINE", "offline")], null];
  const hostIsLive = view.state.liveness.state === "live";
  const why = isShared ? null : reason ?? (hostIsLive ? liveness.reason : null);
  return [[badge(liveness.state.toUpperCase(), liveness.state), badge(status, status)], why];
}

function showPlugins(tenants) {
  const plugins = tenants.flatMap(({ id, plugins }) => plugins.map((plugin) => ({ id, plugin })));
  $("plugin-section").hidden = plugins.length === 0;
  const several = tenants.length > 1;
  syncChildren($("plugins"), plugins, ({ id, plugin }) => `${id}/${plugin.name}`, (row, { id, plugin }) => {
    const seconds = rateOf((at) => at.tenants.find((tenant) => tenant.id === id)?.plugins
      .find(({ name }) => name === plugin.name)?.seconds);
    const failures = Object.entries(plugin.failures);
    const each = plugin.quotes_seen ? `${short((plugin.seconds * 1e6) / plugin.quotes_seen)} µs` : "–";
    cells(row, several ? `${id} · ${plugin.name}` : plugin.name, [
      ["State", [badge(plugin.state, plugin.state)], plugin.last_problem],
      ["Quotes", count(plugin.quotes_seen)],
      // A filter keeps quotes, a map makes documents. Few plugins do both.
      ["Kept", plugin.quotes_kept || !plugin.documents ? count(plugin.quotes_kept) : "–"],
      ["Documents", plugin.documents || !plugin.quotes_kept ? count(plugin.documents) : "–"],
      ["Per quote", each],
      ["CPU", seconds === null ? "–" : `${short(seconds * 100)}%`],
      ["Memory", `${short(plugin.memory_bytes / 1_048_576)} MiB`],
      ["Failures", count(failures.reduce((all, [, times]) => all + times, 0))],
    ]);
  });
}

/** All hosts that take part in the lease or the relay, as they last reported. */
function showHosts({ hosts = [], lease, relay, shards }) {
  $("host-section").hidden = !lease && !relay;
  for (const cell of document.querySelectorAll("#host-section .relay")) cell.hidden = !relay;
  // Known at once; reports are some seconds old.
  const shardsOf = new Map(shards?.workers.map(({ instance, shards }) => [instance, shards.length]));
  syncChildren($("hosts"), hosts, (host) => host.instance, (row, host) => {
    const { worker } = host;
    const problem = host.problem ?? worker?.problem;
    // Of a host that has crashed, only its last report is left.
    const isSilent = host.age_seconds > 60 && host.role !== "stopped";
    const role = relay && host.role === "owner" ? "reader" : relay && worker && host.role !== "stopped" ? "worker" : host.role;
    cells(row, host.instance, [
      ["Role", [isSilent ? badge("silent", "offline") : badge(role, problem ? "stale" : host.role)], problem],
      ["Epoch", host.role === "worker" ? "–" : count(host.epoch)],
      ...(relay ? [
        ["Shards", worker ? count(shardsOf.get(host.instance) ?? worker.shards) : "–"],
        ["Tenants", worker ? count(worker.tenants) : "–"],
        ["Lag", worker?.lag == null ? "–" : `${short(worker.lag / 1e6)} ms`],
        ["Gaps", worker ? count(worker.gaps) : "–"],
        ["Dropped", worker ? count(worker.dropped) : "–"],
      ] : []),
      ["Reported", `${ago(host.age_seconds * 1000)} ago`],
      ["Page", host.address ?? "–"],
      ["Version", host.version],
    ]);
  });
}

function showErrors(errors) {
  $("no-errors").hidden = errors.length > 0;
  syncChildren($("errors"), errors, (error) => [error.severity, error.event_type, error.message, error.details].join(), (item, error) => {
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

/** Makes one child of `parent` per item, and reuses the elements of items that are still there. */
function syncChildren(parent, items, keyOf, fill, kind = "tr") {
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

$("tenant").addEventListener("change", () => {
  history.replaceState(null, "", `#tenant=${encodeURIComponent($("tenant").value)}`);
  choose($("tenant").value);
});

// Ages of a host that does not answer grow, too.
setInterval(() => {
  if (view.outage && view.state) showState();
}, 1000);

arrange();
watch({ onEvent, onConnected, onLost });
