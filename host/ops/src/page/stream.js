// The stream of server-sent events. fetch() instead of EventSource, which cannot send a token.

import { $, view, write } from "./view.js";

const TOKEN = "quotegate.token";
/** No sign of the host for so long, and it is gone: it sends something every second or so. */
const SILENCE = 10_000;

/** Ends the stream that is there, so that the next one can ask for another tenant. */
let again = new AbortController();

/** Listens for ever: `take` gets each event and its data, `found` and `lost` hear how the host is. */
export async function watch(hears) {
  let pause = 500;
  for (;;) {
    again = new AbortController();
    const chosen = again.signal;
    let problem;
    try {
      problem = await listen(chosen, hears, () => { pause = 500; });
    } catch (error) {
      problem = error instanceof TypeError ? "it does not answer" : String(error.message || error);
    }
    if (chosen.reason === "choice") continue;
    hears.lost(problem);
    await new Promise((done) => setTimeout(done, pause));
    pause = Math.min(pause * 2, 5_000);
  }
}

/** Listens until the stream ends; gives what was wrong. */
async function listen(chosen, hears, connected) {
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
      for (const event of events) {
        const [name, data] = event.split("\n");
        hears.take(name.slice("event: ".length), JSON.parse(data.slice("data: ".length)));
      }
      connected();
      if (events.length > 0) hears.found();
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Listens for another tenant from now on. */
export function choose(tenant) {
  view.tenant = tenant;
  again.abort("choice");
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
