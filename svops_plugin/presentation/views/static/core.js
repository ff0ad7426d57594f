// What every page shares: what the server said, words, elements, the REST API, notices and dialogs.

export const context = JSON.parse(document.getElementById("sv-context").textContent);
export const main = document.getElementById("sv-main");

/** Return a text in the reader's language, with the values for what stands in braces. */
export function t(text, values = {}) {
  const said = context.messages[text] ?? text;
  return said.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Return a new element. Attributes that begin with "on" are listeners; children are nodes or text, never HTML. */
export function h(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** Return a new SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else if (name.startsWith("aria-")) element.setAttribute(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set an element's text, and touch the page only if that is news. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const page = (path) => `${context.pages}/${path}`;
export const may = (resource, action) => (context.may[resource] ?? []).includes(action);

/** Tell whether the reader may change what an owner has; the server has the last word. */
export function mayChange(resource, action, ownerId) {
  return may(resource, action) && (!context.owns_only || ownerId === context.user.id);
}

/** A refusal of the API: a message for people, reasons by field, and what is there now where that is news. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.detail ?? t("The server did not answer as it should ({status}).", { status }));
    this.status = status;
    this.passing = status === 0 || status >= 500; // asked again, it may be answered
    this.errors = problem.errors ?? {};
    this.current = problem.current;
  }
}

/** Ask the API; the answer's JSON, or a Refusal, or an AbortError if the signal has been given. */
export async function api(path, { method = "GET", body, query = {}, signal } = {}) {
  const known = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const asked = known.length ? `?${new URLSearchParams(known)}` : "";
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const cutOff = () => {
    signal?.throwIfAborted();
    throw new Refusal(0, { detail: t("The server cannot be reached.") });
  };
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await fetch(`${context.api}/${path}${asked}`, { method, headers, body: sent, signal }).catch(cutOff);
  if (answer.status === 204) return null;
  if (answer.ok) return answer.json().catch(cutOff);
  if (answer.status === 401) sessionEnded();
  throw new Refusal(answer.status, await answer.json().catch(() => ({})));
}

function sessionEnded() {
  if (document.getElementById("sv-ended")) return;
  const link = h("a", { href: context.login, class: "sv-button sv-slim" }, t("Sign in"));
  main.prepend(h("div", { id: "sv-ended", class: "sv-banner", role: "alert" }, t("Your session has ended."), link));
}

/** Tell something at the edge of the page; failures stay until they are put away. */
export function notify(text, { bad = false } = {}) {
  const away = h("button", { class: "sv-button sv-quiet sv-slim", "aria-label": t("Close"), onclick: () => notice.remove() }, "×");
  const notice = h("div", { class: bad ? "sv-notice sv-bad" : "sv-notice" }, h("span", {}, text), away);
  document.getElementById("sv-notices").append(notice);
  if (!bad) setTimeout(() => notice.remove(), 6000);
}

/** Do something that the API may refuse, and tell the refusal. */
export async function attempt(work) {
  try {
    return await work();
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    if (refusal.status !== 401) notify(refusal.message, { bad: true });
    return undefined;
  }
}

/**
 * Return a function that asks for something and shows the answer. Who asks anew lets go of what was asked before:
 * that is never shown, and who waits for it waits for the newest.
 */
export function inTurn(question, show) {
  let turn = null;
  let newest = null;
  return () => {
    turn?.abort();
    turn = new AbortController();
    const { signal } = turn;
    const unlessLate = (settle) => (outcome) => (signal.aborted ? newest : settle(outcome));
    newest = question(signal).then(unlessLate(show), unlessLate((failure) => Promise.reject(failure)));
    return newest;
  };
}

/** Show a dialog with a form; resolves with whether it was agreed to. Frames have no confirm() of their own. */
export function ask(title, content, { agree, danger = false, ready = async () => true } = {}) {
  return new Promise((resolve) => {
    const error = h("p", { class: "sv-error", role: "alert" });
    const send = h("button", { class: `sv-button ${danger ? "sv-danger" : "sv-primary"}`, type: "submit" }, agree);
    const cancel = h("button", { class: "sv-button", type: "button", onclick: () => dialog.close() }, t("Cancel"));
    const form = h("form", { method: "dialog" }, h("h2", { id: "sv-ask" }, title), content, error, agree
      ? h("div", { class: "sv-actions" }, cancel, send)
      : h("div", { class: "sv-actions" }, h("button", { class: "sv-button", type: "submit" }, t("Close"))));
    const dialog = h("dialog", { "aria-labelledby": "sv-ask" }, form);
    let agreed = false;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      send.disabled = true;
      try {
        agreed = (await ready()) !== false;
        if (agreed) dialog.close();
      } catch (refusal) {
        if (!(refusal instanceof Refusal)) throw refusal;
        const fields = Object.entries(refusal.errors).map(([name, why]) => `${name}: ${why.join(" ")}`);
        say(error, fields.length ? fields.join(" ") : refusal.message);
      } finally {
        send.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(agreed);
    });
    main.append(dialog);
    dialog.showModal();
  });
}

/** Keep what the page shows in its address, and in that of the Airflow page around it. */
export function keepInAddress(values) {
  const known = Object.entries(values).filter(([, value]) => value);
  const query = known.length ? `?${new URLSearchParams(known)}` : "";
  history.replaceState(null, "", location.pathname + query);
  const around = frame();
  const [, route] = around?.location.pathname.match(/^(.*\/plugin\/svops)(\/|$)/) ?? [];
  if (route) around.history.replaceState(around.history.state, "", route + location.pathname + query);
}

/** Return the window of Airflow 3 around this page, if there is one. */
function frame() {
  try {
    return window.parent !== window && window.parent.location.origin === location.origin ? window.parent : null;
  } catch {
    return null;
  }
}

/** Return a link to a page of Airflow's own. From a frame it moves Airflow itself, whose router follows its history. */
export function airflowLink(address, ...children) {
  const url = new URL(address, location.href);
  const follow = (event) => {
    const around = frame();
    if (!around || url.origin !== location.origin || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    around.history.pushState({ idx: (around.history.state?.idx ?? 0) + 1 }, "", url);
    around.dispatchEvent(new around.PopStateEvent("popstate", { state: around.history.state }));
  };
  return h("a", { href: url, onclick: follow }, ...children);
}

/** Return the address of a DAG run's page in Airflow. */
export function runPage(dagId, runId) {
  const path = context.run_page.replace("{dag_id}", encodeURIComponent(dagId));
  return context.root + path.replace("{run_id}", encodeURIComponent(runId));
}

/** Follow the language of the Airflow page around, or offer the choice where there is none. */
function settleLanguage() {
  const { is, known, cookie, path } = context.language;
  const choose = (language) => {
    document.cookie = `${cookie}=${language}; path=${path}; max-age=31536000; samesite=lax`;
    location.reload();
  };
  if (frame()) {
    const follow = () => {
      const around = localStorage.getItem("i18nextLng")?.slice(0, 2);
      if (known.includes(around) && around !== is && document.cookie.indexOf(`${cookie}=${around}`) < 0) choose(around);
    };
    follow();
    addEventListener("storage", follow); // it is chosen anew, in the page around
    return;
  }
  const names = { en: "English", ko: "한국어" };
  const others = known.filter((language) => language !== is);
  document.getElementById("sv-languages").append(...others.map((language) =>
    h("button", { class: "sv-button sv-quiet sv-slim", lang: language, onclick: () => choose(language) }, names[language] ?? language)));
}

settleLanguage();

/** Call something when typing has paused. */
export function pausing(work, delay = 350) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, delay);
  };
}
