// What happens, as it happens: by WebSocket, and by asking again and again while there is none.
import { api, attempt, context, notify, say, t } from "./core.js";

const POLL_MS = 2000;
const LONGEST_MS = 30000;
const AGAIN_MS = 5000; // the longest until what has failed is tried again
const BEATS = 2.5; // so long may a socket be silent, in heartbeats, before it is taken for dead
const NEVER = [4403, 4404, 4501]; // closed for good: poll instead
const sign = document.getElementById("sv-connection");
const TITLES = { live: t("Live"), polling: t("Polling"), offline: t("Offline") };

function show(state) {
  sign.dataset.state = state;
  say(sign, TITLES[state]);
}

/** Return the id of the newest event; whoever loads something after it and follows from it misses nothing. */
export async function newestEvent() {
  return (await api("tasks/standing", { query: { ids: 1 } })).last_event_id;
}

/**
 * Call `onEvent` with every event after `since`, each once, and `onResync` when some of them are not kept any more.
 * `about` narrows what is asked for while polling, e.g. `{ task_id: 1 }`.
 */
export function follow(since, onEvent, onResync, about = {}) {
  let wait = 500;
  let polling = null;

  function take(event) {
    if (event.id <= since) return;
    since = event.id;
    onEvent(event);
  }

  function connect() {
    const url = new URL(context.live, location.href.replace(/^http/, "ws"));
    url.searchParams.set("since", since);
    const socket = new WebSocket(url);
    let silence = null;
    let beat = 20;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(giveUp, beat * BEATS * 1000);
    };
    const giveUp = () => {
      [socket.onmessage, socket.onclose] = [null, null]; // to close what is dead may take minutes
      socket.close();
      ended(1006);
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      wait = 500;
      beat = message.heartbeat_seconds ?? beat;
      alive();
      stopPolling();
      show("live");
      if (message.type === "resync") onResync();
      else if (message.type === "heartbeat") since = Math.max(since, message.last_event_id);
      else if (message.id) take(message);
    };
    socket.onclose = ({ code }) => {
      clearTimeout(silence);
      ended(code);
    };
  }

  async function ended(code) {
    if (code === 4400) { // the database has been set back: what came after has not been yet
      since = await newestEvent().catch(() => since);
      onResync();
    }
    startPolling();
    if (NEVER.includes(code)) return;
    wait = Math.min(wait * 2, LONGEST_MS);
    setTimeout(connect, wait);
  }

  async function poll() {
    try {
      const found = await api("events", { query: { since, limit: 1000, ...about } });
      if (polling !== null) show("polling"); // the socket may have come back meanwhile
      if (found.resync) onResync();
      found.items.forEach(take);
      since = Math.max(since, found.last_event_id);
    } catch {
      if (polling !== null) show("offline");
    }
    if (polling !== null) polling = setTimeout(poll, POLL_MS);
  }

  function startPolling() {
    if (polling !== null) return;
    polling = 0;
    poll();
  }

  function stopPolling() {
    clearTimeout(polling);
    polling = null;
  }

  connect();
}

/**
 * Return a function that collects ids, if there are any, and hands them on together, soon after the first. What cannot
 * be done now is tried again until it is: nobody tells of an event a second time.
 */
export function gather(work, delay = 120) {
  const waiting = new Set();
  let timer = null;
  let pause = delay;
  const run = () => attempt(async () => {
    const ids = [...waiting];
    waiting.clear();
    try {
      await work(ids);
      pause = delay;
    } catch (failure) {
      if (!failure.passing) throw failure;
      if (pause === AGAIN_MS) notify(failure.message);
      pause = Math.min(pause * 2, AGAIN_MS);
      ids.forEach((id) => waiting.add(id));
    } finally {
      timer = waiting.size ? setTimeout(run, pause) : null;
    }
  });
  return (id) => {
    waiting.add(id);
    timer ??= setTimeout(run, delay);
  };
}
