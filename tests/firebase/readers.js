// The queries of the pages and services that read the documents, with the SDK that they use.
import { initializeApp } from "https://www.gstatic.com/firebasejs/12.19.0/firebase-app.js";
import {
  collection, connectFirestoreEmulator, deleteDoc, doc, getCountFromServer, getDocs, getFirestore, limit, onSnapshot,
  orderBy, query, setDoc, Timestamp, where,
} from "https://www.gstatic.com/firebasejs/12.19.0/firebase-firestore.js";

/** A signed-in user, whose token has these claims. `null`: not signed in. */
class Reader {
  constructor(name, { projectId, host, port }, claims) {
    this.db = getFirestore(initializeApp({ projectId }, name));
    connectFirestoreEmulator(this.db, host, port, claims ? { mockUserToken: claims } : {});
    /** By path: what the listener saw last, documents by id or the fields of one document, or the code of its error. */
    this.seen = {};
  }

  collection(path) {
    return collection(this.db, path);
  }

  /** Live ticker, market overview, landing page. */
  listen(path) {
    const of = (snapshot) => Object.fromEntries(snapshot.docs.map((it) => [it.id, it.data()]));
    const failed = (error) => { this.seen[path] = error.code; };
    onSnapshot(this.collection(path), (snapshot) => { this.seen[path] = of(snapshot); }, failed);
  }

  /** Console: one symbol. The live pages: the heartbeat. */
  listenToDocument(path) {
    const failed = (error) => { this.seen[path] = error.code; };
    onSnapshot(doc(this.db, path), (snapshot) => { this.seen[path] = snapshot.data() ?? null; }, failed);
  }

  /** What the live pages show, from the newest quote and the heartbeat. */
  state(quotes, heartbeat) {
    const first = (fields, names) => names.map((name) => fields?.[name]).find((value) => value !== undefined);
    const millis = (value) => (value instanceof Timestamp ? value.toMillis() : undefined);
    const beat = millis(first(this.seen[heartbeat], ["last_heartbeat_at", "last_heartbeat", "updated_at", "ts"]));
    const times = Object.values(this.seen[quotes] ?? {})
      .map((quote) => millis(first(quote, ["last_update_ts", "updated_at", "ts", "timestamp"])));
    const newest = Math.max(...[beat, ...times].filter((time) => time !== undefined));
    if (newest === -Infinity) return "OFFLINE";
    return Date.now() - newest <= 30_000 ? "LIVE" : "STALE";
  }

  /** Freshness page. */
  freshness(path) {
    const since = Timestamp.fromMillis(Date.now() - 15 * 60_000);
    return answer(async () => {
      const newest = await getDocs(query(this.collection(path), orderBy("ts", "desc"), limit(1)));
      const recent = await getCountFromServer(query(this.collection(path), where("ts", ">=", since)));
      return { newest: newest.docs.map((it) => it.id), recent: recent.data().count };
    });
  }

  /** Watchlist: the newest six bars per symbol. */
  bars(path, symbols) {
    return answer(async () => {
      const bars = query(
        this.collection(path), where("symbol", "in", symbols), orderBy("ts", "desc"), limit(6 * symbols.length),
      );
      return (await getDocs(bars)).docs.map((it) => it.data().close);
    });
  }

  write(path) {
    return answer(() => setDoc(doc(this.db, path), { price: 1 }, { merge: true }).then(() => "written"));
  }

  remove(path) {
    return answer(() => deleteDoc(doc(this.db, path)).then(() => "deleted"));
  }
}

/** The answer, or the code of the error. */
async function answer(ask) {
  try {
    return await ask();
  } catch (error) {
    return error.code ?? String(error);
  }
}

globalThis.readers = {};
globalThis.signIn = (name, project, claims) => { readers[name] = new Reader(name, project, claims); return true; };
