// A task: how its chain stands, why it failed, what it measured and left, and everything that happened to it.
import { airflowLink, api, ask, attempt, context, h, inTurn, main, may, mayChange, notify, page, runPage, t } from "./core.js";
import { CALLS, WORDS, executeWithForm, stopAfterAsking } from "./actions.js";
import { causePanel } from "./cause.js";
import { attemptGroup, gantt } from "./gantt.js";
import { STATES, ago, between, duration, hour, moment, plain, stateBadge } from "./format.js";
import { follow, gather } from "./live.js";
import { owner } from "./lists.js";
import { panel, parts } from "./parts.js";
import { results } from "./results.js";
import { share } from "./chain.js";

const id = context.parameters.task_id;
const shown = parts(["head", "cause", "chain", "timeline", "results", "about", "events"]);
const MOST_EVENTS = 200;
const events = [];
let picked = null; // the attempt whose results are shown; none: the newest
let known = {};

main.append(shown.head, h("div", { class: "sv-columns" },
  h("div", { class: "sv-stack" }, shown.cause, shown.chain, shown.timeline, shown.results),
  h("div", { class: "sv-stack" }, shown.about, shown.events)));

async function find() {
  const [task, history, status] = await Promise.all([api(`tasks/${id}`), api(`tasks/${id}/executions`), api(`tasks/${id}/status`)]);
  const attempts = history.items;
  const wanted = attempts.find((one) => one.execution_id === picked) ?? attempts[0];
  const outcome = wanted ? await api(`executions/${wanted.execution_id}`) : null;
  return { task, attempts, status, outcome };
}

const load = inTurn(find, (found) => {
  known = found;
  render();
});

function render() {
  const { task, attempts, status, outcome } = known;
  document.title = `${task.name} · SVOps`;
  shown.put("head", head(task));
  shown.put("cause", causePanel(outcome?.error));
  shown.put("chain", chain(status, outcome));
  shown.put("timeline", attempts.length ? panel(t("Timeline"), gantt(attempts.map(attemptGroup))) : "");
  shown.put("about", about(task, outcome));
  showResults(attempts, outcome);
}

function head(task) {
  const open = mayChange("task", "execute", task.created_by_id);
  const button = (verb, work, kind = "") => h("button", { class: `sv-button ${kind}`, "data-verb": verb, onclick: work }, WORDS[verb]);
  const running = task.status === "running";
  const again = task.status === "failed" || task.status === "cancelled";
  const acts = open ? [
    running && button("stop", stop, "sv-danger"),
    again && button("retry", () => does("retry"), "sv-primary"),
    again && button("again", () => does("again")),
    !running && button("execute", execute, again ? "" : "sv-primary"),
  ] : [];
  const edit = mayChange("task", "edit", task.created_by_id) && !running && h("a", { class: "sv-button", href: page(`tasks/${id}/edit`) }, t("Edit"));
  const clone = may("task", "create") && h("button", { class: "sv-button", onclick: copy }, t("Clone"));
  const remove = mayChange("task", "delete", task.created_by_id) && !running && h("button", { class: "sv-button sv-danger", onclick: forget }, t("Delete"));
  return h("div", { class: "sv-head" },
    h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, h("a", { href: page("tasks") }, t("Tasks")), ` / #${id}`), h("h1", {}, task.name)),
    stateBadge(task.status), h("div", { class: "sv-actions" }, acts, edit, clone, remove));
}

function chain(status, outcome) {
  const runs = outcome?.workflow_runs ?? [];
  if (!runs.length) {
    const expected = status.estimate?.seconds ? t("An execution takes about {time}.", { time: duration(status.estimate.seconds) }) : "";
    return panel(t("Chain"), h("p", { class: "sv-muted" }, `${t("Not executed yet.")} ${expected}`), h("p", { class: "sv-small sv-muted" }, status.dag_chain.join(" → ")));
  }
  const expected = Object.fromEntries((status.estimate?.steps ?? []).map((step) => [step.dag_id, step.seconds]));
  const steps = runs.map((run) => {
    const bar = h("i");
    bar.style.setProperty("--done", `${Math.round(share(run) * 100)}%`);
    const taken = run.start_date ? duration(between(run.start_date, run.end_date)) : "";
    const about = ["queued", "running"].includes(run.status) && expected[run.dag_id] ? t("about {time}", { time: duration(expected[run.dag_id]) }) : "";
    const link = run.start_date && run.status !== "reused" ? airflowLink(runPage(run.dag_id, run.external_trigger_id), t("Open in Airflow")) : "";
    return h("li", { class: "sv-step", "data-state": run.status, "data-dag": run.dag_id },
      h("a", { class: "sv-small", href: page(`workflows/${run.workflow_id}/runs/${run.id}`) }, run.dag_id), h("span", {}, stateBadge(run.status)), h("div", { class: "sv-bar" }, bar),
      h("span", { class: "sv-small sv-muted sv-number" }, [`${run.progress.done}/${run.progress.total}`, taken, about].filter(Boolean).join(" · ")),
      run.progress.message ? h("span", { class: "sv-small" }, run.progress.message) : "", link ? h("span", { class: "sv-small" }, link) : "");
  });
  return panel(t("Chain of attempt {n}", { n: outcome.attempt }), h("ol", { class: "sv-steps" }, steps));
}

function about(task, outcome) {
  const c = task.configuration;
  const facts = (pairs) => h("dl", { class: "sv-facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value ?? "–")]));
  const extra = c.build_config_customized ? [[t("Customised"), h("code", {}, plain(c.build_config_custom_conf))], [t("INI sections"), h("code", {}, plain(c.build_config_custom_ini))]] : [];
  const made = outcome ? panel(t("Attempt {n}", { n: outcome.attempt }), facts([
    [t("Started by"), outcome.requested_by], [t("Started"), moment(outcome.created_at)], [t("Ended"), moment(outcome.ended_at)],
    [t("Note"), outcome.note || "–"], [t("Parameters"), h("code", {}, plain(outcome.parameters))],
  ])) : "";
  return h("div", { class: "sv-stack" }, panel(t("About"), facts([
    [t("Dataset"), task.dataset ? h("a", { href: page(`datasets/${task.dataset.id}`) }, task.dataset.name) : "–"],
    [t("Owner"), owner(task)], [t("Customer"), task.customer], [t("Preset"), c.build_config ?? "–"], ...extra,
    [t("Branch"), c.branch_name ?? "–"], [t("Commit"), c.commit_id ?? "–"], [t("Output"), h("code", {}, task.log_out_path)],
    ...(task.video_output.enabled ? [[t("Animation"), h("code", {}, task.video_output.path)]] : []),
    [t("Tags"), task.tags.length ? task.tags.map((tag) => h("span", { class: "sv-tag" }, tag)) : "–"],
    [t("Created"), ago(task.created_at)], [t("Description"), task.description || "–"],
  ])), made);
}

function showResults(attempts, outcome) {
  if (!outcome) return;
  const key = `${outcome.execution_id}:${outcome.overall_status}:${outcome.metrics.length}:${outcome.artifacts.length}:${attempts.length}`;
  if (shown.results.dataset.key === key) return;
  shown.results.dataset.key = key;
  const picks = attempts.map((one) => h("button", {
    class: "sv-button sv-slim", "aria-pressed": one.execution_id === outcome.execution_id, title: `${STATES[one.overall_status]}, ${moment(one.created_at)}`,
    onclick: () => { picked = one.execution_id; attempt(load); },
  }, `#${one.attempt}`));
  const compared = attempts.slice(0, 6).map((one) => one.execution_id);
  const compare = compared.length > 1 ? h("a", { class: "sv-button sv-slim", href: `${page("compare")}?ids=${compared}` }, t("Compare attempts")) : "";
  shown.results.replaceChildren(h("div", { class: "sv-stack" },
    attempts.length > 1 ? panel(t("Attempts"), h("div", { class: "sv-attempts" }, picks, compare)) : "", results(outcome)));
}

function showEvents() {
  const lines = events.slice(-MOST_EVENTS).reverse().map((event) => {
    const { data } = event;
    const progress = event.type === "workflow.progress" ? [`${data.progress.done}/${data.progress.total}`, data.progress.message] : [];
    const told = [data.dag_id, ...progress, data.error?.message, data.changed && plain(data.changed)].filter(Boolean).join(" · ");
    return h("li", {}, h("time", { datetime: event.timestamp, title: moment(event.timestamp) }, hour(event.timestamp)),
      h("span", {}, h("strong", { class: "sv-small" }, event.type), told ? h("span", { class: "sv-small sv-muted" }, ` ${told}`) : "", h("span", { class: "sv-small sv-muted" }, ` (${event.actor})`)));
  });
  shown.events.replaceChildren(panel(t("Events"), h("ol", { class: "sv-events", tabindex: 0, "aria-label": t("Events") }, lines)));
}

async function does(verb) {
  picked = null;
  await attempt(() => CALLS[verb](id));
  await attempt(load);
}

async function execute() {
  if (!(await executeWithForm(known.task))) return;
  picked = null;
  await attempt(load);
}

async function stop() {
  if (await stopAfterAsking(known.task.name)) await does("stop");
}

async function copy() {
  const made = await attempt(() => api(`tasks/${id}/clone`, { method: "POST", body: {} }));
  if (made) location.assign(page(`tasks/${made.id}/edit`));
}

async function forget() {
  const text = t("Its executions are forgotten with it; what they wrote to disk stays.");
  const agreed = await ask(t("Delete {name}?", { name: known.task.name }), h("p", {}, text), {
    agree: t("Delete"), danger: true, ready: () => api(`tasks/${id}`, { method: "DELETE" }),
  });
  if (agreed) location.assign(page("tasks"));
}

async function loadEvents() {
  const found = await api("events", { query: { task_id: id, newest_first: true, limit: MOST_EVENTS } });
  events.push(...found.items.reverse());
  showEvents();
  return found.last_event_id;
}

const reload = gather(load);

function happened(event) {
  if (event.task_id !== id) return;
  events.push(event);
  showEvents();
  if (event.type === "task.deleted") notify(t("This task has been deleted."), { bad: true });
  else reload();
}

setInterval(() => known.task?.status === "running" && render(), 1000);
await attempt(async () => {
  const since = await loadEvents();
  await load();
  follow(since, happened, reload, { task_id: id });
});
