// The stream of server-sent events. fetch() instead of EventSource, which cannot send a token.

import { $, view, write } from "./view.js";

const TOKEN = "quotegate.token";
/** The host counts as gone after this many milliseconds of silence. It sends an event about once per second. */
const SILENCE = 5_000;

/** Aborts the current stream, so that a new one can use another tenant or token. */
let restart = new AbortController();

/** Receives events forever. Calls `onEvent` with each event and its data, and `onConnected` and `onLost`. */
export async function watch(handlers) {
  let pause = 500;
  for (;;) {
    restart = new AbortController();
    const restarted = restart.signal;
    let problem;
    try {
      problem = await receive(restarted, handlers, () => { pause = 500; });
    } catch (error) {
      problem = error instanceof TypeError ? "no answer" : String(error.message || error);
    }
    if (restarted.reason === "restart") continue;
    handlers.onLost(problem);
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 5_000);
  }
}

/** Receives events until the stream ends. Returns what went wrong. */
async function receive(restarted, handlers, connected) {
  const silence = new AbortController();
  let timer;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error("it stopped sending data")), SILENCE);
  };
  alive();
  try {
    const token = sessionStorage.getItem(TOKEN);
    const query = view.tenant ? `?tenant=${encodeURIComponent(view.tenant)}` : "";
    const answer = await fetch(`api/events${query}`, {
      headers: token ? { Authorization: `Bearer ${token}` } : {},
      signal: AbortSignal.any([restarted, silence.signal]),
    });
    if (answer.status === 401) {
      clearTimeout(timer);
      await askForToken(token !== null);
      return "a token is required";
    }
    if (answer.status === 404) {
      view.tenant = null;
      return "the tenant no longer exists";
    }
    if (!answer.ok) return (await answer.text()).trim() || `HTTP status ${answer.status}`;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "the connection was closed";
      alive();
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const event of events) {
        const [name, data] = event.split("\n");
        handlers.onEvent(name.slice("event: ".length), JSON.parse(data.slice("data: ".length)));
      }
      connected();
      if (events.length > 0) handlers.onConnected();
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Switches to another tenant. */
export function choose(tenant) {
  view.tenant = tenant;
  restart.abort("restart");
}

function askForToken(wrong) {
  $("ask").hidden = false;
  $("gone").hidden = true;
  $("main").hidden = true;
  write($("ask-problem"), wrong ? "Wrong token." : "");
  sessionStorage.removeItem(TOKEN);
  $("token").focus();
  return new Promise((done) => {
    $("ask").onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem(TOKEN, $("token").value);
      $("token").value = "";
      done();
      restart.abort("restart");
    };
  });
}
