// Rates and latencies, from the growth of counters.

import { short, view } from "./view.js";

/** The periods that rates and latencies cover, in milliseconds. */
export const WINDOW = { rates: 5_000, latency: 60_000 };

/** The state at the start of the period, or the oldest one. */
function before(window) {
  const then = view.state.time / 1e6 - window;
  return view.past.findLast((at) => at.time / 1e6 <= then) ?? view.past[0];
}

/** How much a counter grew per second. null if that is not known. */
export function rateOf(counter) {
  if (view.outage) return null;
  const then = before(WINDOW.rates);
  const seconds = (view.state.time - then.time) / 1e9;
  const [old, now] = [counter(then), counter(view.state)];
  if (seconds <= 0 || old === undefined || now === undefined) return null;
  return Math.max(0, now - old) / seconds;
}

export function rate(counter) {
  const found = rateOf(counter);
  return found === null ? "–" : short(found);
}

/** The bounds of 50% and 99% of the latencies in the last minute. */
export function quantiles(bounds, key) {
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
