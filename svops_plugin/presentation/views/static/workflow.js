// A workflow and its runs, live.
import { api, attempt, context, h, inTurn, keepInAddress, main, mayChange, page, t } from "./core.js";
import { controlRun, controlsOf } from "./actions.js";
import { STATES, ago, between, duration, stateBadge } from "./format.js";
import { follow, gather, newestEvent } from "./live.js";
import { listRow } from "./list_page.js";
import { owner, pager, table } from "./lists.js";

const id = context.parameters.workflow_id;
const RUN_STATES = ["queued", "running", "success", "failed", "cancelled", "skipped", "reused"];
const HEADS = [t("Run"), t("State"), t("Started by"), t("Task"), t("Progress"), t("Time"), t("When"), ""];
const asked = Object.fromEntries(new URLSearchParams(location.search));
const runs = h("div", { class: "sv-panel sv-table" });
const pages = h("div", { class: "sv-pages" });

function row(run) {
  const [act] = controlsOf(run);
  const task = run.configuration?.task_id;
  return listRow(
    [h("a", { href: page(`workflows/${id}/runs/${run.id}`) }, run.id), h("span", { class: "sv-small sv-muted" }, run.note)],
    [
      [stateBadge(run.status)], [`${run.triggered_by || "–"} (${run.trigger_type})`, "sv-row-away"],
      [task ? h("a", { href: page(`tasks/${task}`) }, `#${task}`) : "–"],
      [h("span", { class: "sv-number" }, `${run.progress.done}/${run.progress.total}`), "sv-row-away"],
      [run.start_date ? duration(between(run.start_date, run.end_date)) : "–", "sv-row-away"], [ago(run.execution_date), "sv-row-away"],
      [act ? h("button", { class: "sv-button sv-slim", onclick: async () => (await controlRun(run, act)) && attempt(load) }, { stop: t("Stop"), retry: t("Retry") }[act]) : "", "sv-right"],
    ]);
}

/** Return a time of the reader's clock, as a field has it, in the words of the API. */
const moment = (local) => (local ? new Date(local).toISOString() : "");

async function find() {
  const query = { limit: 50, skip: asked.skip, status: asked.status, since: moment(asked.since), until: moment(asked.until) };
  return api(`workflows/${id}/runs`, { query });
}

const load = inTurn(find, (found) => {
  const filtered = ["status", "since", "until"].some((name) => asked[name]);
  runs.replaceChildren(found.items.length ? table(HEADS, found.items.map(row), { cards: true }) : h("div", { class: "sv-empty" }, filtered ? t("Nothing is like that.") : t("It has not run yet.")));
  pages.replaceChildren(...pager(found, (skip) => change({ skip })));
});

function change(values) {
  Object.assign(asked, values);
  keepInAddress(asked);
  return attempt(load);
}

function filters() {
  const state = h("select", { "aria-label": t("State"), onchange: () => change({ status: state.value, skip: "" }) },
    h("option", { value: "" }, t("Any state")), RUN_STATES.map((value) => h("option", { value }, STATES[value])));
  state.value = asked.status ?? "";
  const time = (name, label) => {
    const input = h("input", { type: "datetime-local", value: asked[name] ?? "", onchange: () => change({ [name]: input.value, skip: "" }) });
    return h("label", { class: "sv-time" }, label, input);
  };
  return h("div", { class: "sv-filters", role: "search" }, state, time("since", t("From")), time("until", t("Until")));
}

function head(workflow) {
  const facts = [workflow.dag_id, workflow.is_active ? t("Active") : t("Not active"), workflow.created_by && t("registered by {name}", { name: owner(workflow) })].filter(Boolean);
  return h("div", { class: "sv-head" },
    h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, h("a", { href: page("workflows") }, t("Workflows")), ` / ${id}`),
      h("h1", {}, workflow.name), h("p", { class: "sv-small sv-muted" }, facts.join(" · ")), h("p", { class: "sv-muted" }, workflow.description ?? "")),
    h("div", { class: "sv-actions" },
      workflow.is_active && mayChange("workflow", "execute", workflow.created_by_id) && h("a", { class: "sv-button sv-primary", href: page(`workflows/${id}/runs/new`) }, t("Run it alone")),
      mayChange("workflow", "edit", workflow.created_by_id) && h("a", { class: "sv-button", href: page(`workflows/${id}/edit`) }, t("Edit"))));
}

await attempt(async () => {
  const workflow = await api(`workflows/${id}`);
  document.title = `${workflow.name} · SVOps`;
  main.append(head(workflow), filters(), runs, pages);
  const now = await newestEvent();
  await load();
  const reload = gather(load, 500);
  follow(now, (event) => (event.workflow_id === id || event.type === "task.deleted") && reload(), reload); // a task's runs go with it
});
