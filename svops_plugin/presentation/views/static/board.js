// The board: tasks with their chains, live.
import { attempt, api, ask, context, h, inTurn, keepInAddress, main, may, mayChange, notify, page, pausing, say, t } from "./core.js";
import { CALLS, WORDS, offers, stopAfterAsking } from "./actions.js";
import { chainBar } from "./chain.js";
import { STATES, between, duration, showState, stateBadge } from "./format.js";
import { attachKeys } from "./keys.js";
import { follow, gather, newestEvent } from "./live.js";
import { owner, pager } from "./lists.js";

const SIZE = 50;
const AT_ONCE = 4;
const FILTERS = ["", "running", "failed", "completed", "cancelled", "pending"];
const ORDERS = { "-created_at": t("Newest first"), "-updated_at": t("Last changed first"), created_at: t("Oldest first") };
const rows = new Map(); // by task id
const chosen = new Set();
const asked = Object.fromEntries(new URLSearchParams(location.search));

const body = h("tbody");
const empty = h("div", { class: "sv-empty", hidden: true });
const pages = h("div", { class: "sv-pages" });
const selection = h("div", { class: "sv-selected", role: "region", "aria-label": t("Selected tasks"), hidden: true });
const search = h("input", { type: "search", placeholder: t("Search by name"), "aria-label": t("Search by name"), value: asked.q ?? "", maxlength: 255 });
const order = h("select", { "aria-label": t("Order") }, Object.entries(ORDERS).map(([value, title]) => h("option", { value }, title)));
const all = h("input", { type: "checkbox", "aria-label": t("Select all of this page") });
const owners = h("select", { "aria-label": t("Owner") }, h("option", { value: "" }, t("Any owner")));
order.value = asked.order in ORDERS ? asked.order : "-created_at";

function layOut() {
  const states = FILTERS.map((status) => h("button", {
    class: "sv-button sv-slim", "data-filter": status, onclick: () => change({ status, skip: "" }),
  }, status ? STATES[status] : t("All")));
  const mine = h("button", { class: "sv-button sv-slim", "data-mine": true, onclick: () => change({ owner: isMine() ? "" : String(context.user.id), skip: "" }) }, t("Mine"));
  const help = h("button", { class: "sv-button sv-quiet sv-slim", onclick: showHelp, "aria-label": t("Keyboard") }, "?");
  const made = may("task", "create") && h("a", { class: "sv-button sv-primary", href: page("tasks/new") }, t("New task"));
  const heads = [["", "sv-unseen"], [t("Task")], [t("Dataset")], [t("Owner")], [t("State")], [t("Chain")], [t("Time")], [""]];
  main.append(
    h("div", { class: "sv-head" }, h("div", { class: "sv-title" }, h("h1", {}, t("Board"))), made),
    h("div", { class: "sv-filters", role: "search" }, search, states, mine, owners, h("span", { class: "sv-spring" }), order, help),
    h("div", { class: "sv-panel sv-table" }, h("div", { class: "sv-scroll" }, h("table", { class: "sv-cards" },
      h("thead", {}, h("tr", {}, heads.map(([text, kind], index) => h("th", { scope: "col" }, index ? text || h("span", { class: "sv-unseen" }, t("Actions")) : kind && all)))), body)), empty),
    pages, selection);
  search.addEventListener("input", pausing(() => change({ q: search.value.trim(), skip: "" }), 200));
  owners.addEventListener("change", () => change({ owner: owners.value, skip: "" }));
  order.addEventListener("change", () => change({ order: order.value, skip: "" }));
  all.addEventListener("change", () => rows.forEach((row) => choose(row, all.checked)));
}

const isMine = () => asked.owner === String(context.user.id);

/** Offer everybody who has tasks, and who is asked for in the address already. */
async function loadOwners() {
  const { items } = await api("tasks/owners");
  owners.append(...items.map((one) => h("option", { value: one.id }, one.username)));
  owners.value = asked.owner ?? "";
}

function change(values) {
  Object.assign(asked, values);
  keepInAddress(asked);
  attempt(load);
}

async function find(signal) {
  for (const button of main.querySelectorAll("[data-filter]")) button.setAttribute("aria-pressed", button.dataset.filter === (asked.status ?? ""));
  main.querySelector("[data-mine]").setAttribute("aria-pressed", isMine());
  owners.value = asked.owner ?? "";
  const query = {
    limit: SIZE, skip: asked.skip, order_by: order.value, q: asked.q, status: asked.status, dataset_id: asked.dataset_id,
    creator_id: asked.owner,
  };
  return api("tasks", { query, signal });
}

const load = inTurn(find, (found) => {
  chosen.clear();
  all.checked = false;
  rows.clear();
  body.replaceChildren(...found.items.map(makeRow));
  empty.hidden = found.items.length > 0;
  const filtered = ["q", "status", "owner", "dataset_id", "skip"].some((name) => asked[name]);
  empty.replaceChildren(h("p", {}, filtered ? t("No task is like that.") : t("There are no tasks yet.")),
    filtered ? h("button", { class: "sv-button", onclick: clear }, t("Clear filters")) : may("task", "create") ? h("a", { class: "sv-button sv-primary", href: page("tasks/new") }, t("New task")) : "");
  pages.replaceChildren(...pager(found, (skip) => change({ skip })));
  showSelection();
  return refresh(found.items.map((task) => task.id));
});

function clear() {
  search.value = "";
  change({ q: "", status: "", owner: "", dataset_id: "", skip: "" });
}

function makeRow(task) {
  const { bar, show } = chainBar();
  const row = {
    task, standing: null, asOf: 0, show,
    badge: stateBadge(task.status), time: h("span", { class: "sv-number" }), result: h("span", { class: "sv-result", role: "status" }),
    act: h("button", { class: "sv-button sv-slim" }),
    check: h("input", { type: "checkbox", "aria-label": t("Select {name}", { name: task.name }) }),
  };
  row.check.addEventListener("change", () => choose(row, row.check.checked));
  row.act.addEventListener("click", () => act(row.act.dataset.verb, [row]));
  row.element = h("tr", { tabindex: -1, "data-task": task.id },
    h("td", {}, row.check),
    h("td", { class: "sv-name" }, h("a", { href: page(`tasks/${task.id}`), title: task.name }, task.name), h("span", { class: "sv-small sv-muted" }, `#${task.id} · ${task.customer}`)),
    h("td", { class: "sv-clip sv-row-away", title: task.dataset?.name }, task.dataset ? h("a", { href: page(`datasets/${task.dataset.id}`) }, task.dataset.name) : "–"),
    h("td", { class: "sv-row-away" }, owner(task)),
    h("td", {}, row.badge),
    h("td", { class: "sv-row-wide" }, bar),
    h("td", { class: "sv-row-rest" }, row.time, row.result),
    h("td", { class: "sv-right sv-row-rest" }, row.act));
  rows.set(task.id, row);
  patch(row, null);
  return row.element;
}

/** Show how a task stands in its row: only what has changed is touched. */
function patch(row, standing) {
  if (standing) row.standing = standing;
  const status = row.standing?.task_status ?? row.task.status;
  showState(row.badge, status);
  if (row.standing) row.show(row.standing);
  const [verb] = offers(status);
  const open = mayChange("task", "execute", row.task.created_by_id);
  if (row.act.dataset.verb !== verb) row.act.dataset.verb = verb;
  if (row.act.hidden === open) row.act.hidden = !open;
  say(row.act, WORDS[verb]);
  tick(row);
}

function tick(row) {
  const { created_at, ended_at, estimate, task_status } = row.standing ?? {};
  if (!created_at) return say(row.time, estimate?.seconds ? t("about {time}", { time: duration(estimate.seconds) }) : "");
  const taken = duration(between(created_at, ended_at));
  const running = task_status === "running" && estimate?.seconds;
  return say(row.time, running ? t("{taken} of about {time}", { taken, time: duration(estimate.seconds) }) : taken);
}

async function refresh(ids) {
  const shown = ids.filter((id) => rows.has(id));
  if (!shown.length) return;
  const { items, last_event_id: asOf } = await api("tasks/standing", { query: { ids: shown.join(",") } });
  for (const standing of items) {
    const row = rows.get(standing.task_id);
    if (!row || row.asOf > asOf) continue; // it has left the page, or is known better
    row.asOf = asOf;
    patch(row, standing);
  }
}

function choose(row, on) {
  row.check.checked = on;
  if (on) chosen.add(row);
  else chosen.delete(row);
  showSelection();
}

function showSelection() {
  selection.hidden = !chosen.size;
  if (!chosen.size) return;
  const verbs = may("task", "execute") ? ["execute", "stop", "retry"] : [];
  const compared = [...chosen].map((row) => row.standing?.execution_id).filter(Boolean);
  selection.replaceChildren(h("strong", {}, t("{n} selected", { n: chosen.size })),
    ...verbs.map((verb) => h("button", { class: "sv-button sv-slim", onclick: () => act(verb, [...chosen]) }, WORDS[verb])),
    compared.length > 1 && compared.length < 7 ? h("a", { class: "sv-button sv-slim", href: `${page("compare")}?ids=${compared}` }, t("Compare")) : "",
    h("button", { class: "sv-button sv-quiet sv-slim", onclick: () => [...chosen].forEach((row) => choose(row, false)) }, t("Clear")));
}

/** Do one thing to several tasks, a few at a time, and tell beside each what came of it. */
async function act(verb, wanted) {
  if (verb === "stop" && !(await stopAfterAsking(wanted.map((row) => row.task.name).join(", ")))) return;
  const waiting = [...wanted];
  let refused = 0;
  const work = async () => {
    for (let row = waiting.shift(); row; row = waiting.shift()) {
      row.act.disabled = true;
      const why = await CALLS[verb](row.task.id).then(() => "", (refusal) => refusal.message);
      row.act.disabled = false;
      refused += why ? 1 : 0;
      row.result.className = `sv-result ${why ? "sv-error" : "sv-good"}`;
      say(row.result, why || t("done"));
      touched(row.task.id);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (wanted.length > 1) notify(t("{done} of {all} done.", { done: wanted.length - refused, all: wanted.length }), { bad: refused > 0 });
}

function showHelp() {
  const keys = [["j / k", t("Next or previous task")], ["Enter", t("Open it")], ["x", t("Select it")], ["/", t("Search")], ["?", t("This help")]];
  ask(t("Keyboard"), h("dl", { class: "sv-facts" }, keys.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)])));
}

const touched = gather(refresh);
const renew = gather(load);

function happened(event) {
  const row = rows.get(event.task_id);
  if (event.type === "task.deleted" || (event.type === "task.created" && !Number(asked.skip))) renew();
  else if (row) {
    say(row.result, "");
    touched(event.task_id);
  }
}

layOut();
attachKeys({ rows: body, search, open: (row) => row.querySelector("a").click(), select: (row) => choose(rows.get(Number(row.dataset.task)), !chosen.has(rows.get(Number(row.dataset.task)))), help: showHelp });
setInterval(() => rows.forEach((row) => row.standing?.task_status === "running" && tick(row)), 1000);
await attempt(async () => {
  const now = await newestEvent();
  await Promise.all([attempt(load), loadOwners()]);
  follow(now, happened, renew);
});
