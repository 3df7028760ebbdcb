// The page's state, and how it writes text. Text from the host is untrusted, so it goes into text nodes only.

export const $ = (id) => document.getElementById(id);

/** Quotes are stale after this many milliseconds. */
export const STALE = 30_000;

export const view = {
  state: null,
  /** States of the last minute, for rates. */
  past: [],
  /** The host's clock minus the browser's. */
  offset: 0,
  tenant: decodeHash(),
  quotes: new Map(),
  symbols: 0,
  sort: { key: "symbol", down: false },
  search: "",
  /** Set while there is no connection to the host. */
  outage: null,
};

function decodeHash() {
  const [key, name] = location.hash.split("=");
  try {
    return key === "#tenant" ? decodeURIComponent(name) : null;
  } catch {
    return null;
  }
}

/** Writes text if it changed. */
export function write(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

export const hostNow = () => Date.now() + view.offset;
export const clock = (millis) => new Date(millis).toLocaleTimeString([], { hourCycle: "h23" });
export const count = (number) => number.toLocaleString("en-US");
export const short = (number) => number.toLocaleString("en-US", { maximumFractionDigits: number < 10 ? 1 : 0 });
export const size = (number) => number.toLocaleString("en-US", { maximumFractionDigits: 4 });

export function price(number) {
  if (number === null) return "–";
  return number.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: number < 10 ? 6 : 4 });
}

export function ago(millis) {
  const seconds = Math.max(0, Math.floor(millis / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}
