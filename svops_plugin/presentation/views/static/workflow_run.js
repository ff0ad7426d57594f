// A run of a workflow: what its tasks do, why one failed, what it measured and left.
import { airflowLink, api, attempt, context, h, inTurn, main, page, runPage, t } from "./core.js";
import { controlRun, controlsOf } from "./actions.js";
import { causePanel } from "./cause.js";
import { between, duration, moment, plain, stateBadge } from "./format.js";
import { gantt } from "./gantt.js";
import { listRow } from "./list_page.js";
import { follow, gather, newestEvent } from "./live.js";
import { table } from "./lists.js";
import { panel, parts } from "./parts.js";
import { results } from "./results.js";

const { workflow_id: workflowId, run_id: runId } = context.parameters;
const WORDS = { stop: t("Stop"), retry: t("Retry") };
const LOOK_MS = 5000; // a task that begins is no event; it is looked for while the run is under way
const shown = parts(["head", "cause", "timeline", "tasks", "results", "about"]);
let run = null;
let workflow = null;

main.append(shown.head, h("div", { class: "sv-columns" },
  h("div", { class: "sv-stack" }, shown.cause, shown.timeline, shown.tasks, shown.results), h("div", { class: "sv-stack" }, shown.about)));

const isActive = () => run?.status === "running" || run?.status === "queued";

const load = inTurn(() => api(`workflows/${workflowId}/runs/${runId}`), (found) => {
  run = found;
  render();
  showResults();
});

function render() {
  document.title = `${workflow.name} ${run.id} · SVOps`;
  shown.put("head", head());
  shown.put("cause", causePanel(run.error));
  const begun = run.task_instances.filter((one) => one.start_date);
  const lanes = begun.map((one) => ({ ...one, name: one.task_id, status: one.state ?? "none" }));
  shown.put("timeline", begun.length ? panel(t("Timeline"), gantt([{ name: run.id, status: run.status, begin: run.start_date ?? begun[0].start_date, end: run.end_date, lanes }])) : "");
  shown.put("tasks", panel(t("Tasks of the DAG"), run.task_instances.length ? table([t("Task"), t("State"), t("Time"), t("Try"), t("Operator"), ""], run.task_instances.map(instance), { cards: true }) : h("p", { class: "sv-muted" }, t("Airflow has nothing to tell of it yet."))));
  shown.put("about", about());
}

function instance(one) {
  const taken = one.duration ?? (one.start_date && !one.end_date && isActive() ? between(one.start_date) : null);
  return listRow([h("strong", { class: "sv-small" }, one.task_id)], [
    [stateBadge(one.state ?? "none")], [h("span", { class: "sv-number" }, duration(taken)), "sv-row-away"], [one.try_number, "sv-row-away"],
    [h("span", { class: "sv-small sv-muted" }, one.operator ?? "–"), "sv-row-away"], [one.start_date ? airflowLink(one.log_url, t("Log")) : "", "sv-right"],
  ]);
}

function head() {
  const control = async (action) => {
    const next = await controlRun(run, action);
    if (next && next.id !== run.id) location.assign(page(`workflows/${workflowId}/runs/${next.id}`));
    else if (next) await attempt(load);
  };
  return h("div", { class: "sv-head" },
    h("div", { class: "sv-title" },
      h("div", { class: "sv-crumb" }, h("a", { href: page("workflows") }, t("Workflows")), " / ", h("a", { href: page(`workflows/${workflowId}`) }, workflow.name)),
      h("h1", {}, run.id), run.progress.message ? h("p", { class: "sv-small" }, run.progress.message) : ""),
    stateBadge(run.status), h("span", { class: "sv-number sv-muted" }, `${run.progress.done}/${run.progress.total}`),
    h("div", { class: "sv-actions" },
      controlsOf(run).map((action) => h("button", { class: `sv-button ${action === "stop" ? "sv-danger" : "sv-primary"}`, onclick: () => control(action) }, WORDS[action])),
      h("span", { class: "sv-button" }, airflowLink(runPage(run.dag_id, run.external_trigger_id), t("Open in Airflow")))));
}

function about() {
  const { task_id: task, dataset_id: dataset, parameters } = run.configuration;
  const chain = run.position ? t("step {n} of the chain", { n: run.position }) : "";
  const facts = [
    [t("DAG"), run.dag_id], [t("Task"), task ? [h("a", { href: page(`tasks/${task}`) }, `#${task}`), ` ${chain}`] : "–"],
    [t("Dataset"), dataset ? h("a", { href: page(`datasets/${dataset}`) }, `#${dataset}`) : "–"],
    [t("Started by"), `${run.triggered_by || "–"} (${run.trigger_type})`], [t("Asked for"), moment(run.execution_date)],
    [t("Started"), moment(run.start_date)], [t("Ended"), moment(run.end_date)],
    [t("Time"), run.start_date ? duration(between(run.start_date, run.end_date)) : "–"], [t("Note"), run.note || "–"],
    [t("Parameters"), h("code", {}, plain(parameters))], [t("Airflow's name"), h("code", {}, run.external_trigger_id)],
  ];
  return panel(t("About"), h("dl", { class: "sv-facts" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

/** Show the results anew where there are new ones: a report that is being read stays where it is. */
function showResults() {
  const key = `${run.metrics.length}:${run.artifacts.length}:${run.status}`;
  if (shown.results.dataset.key === key) return;
  shown.results.dataset.key = key;
  const from = (tracked) => tracked.map((one) => ({ ...one, dag_id: run.dag_id }));
  shown.results.replaceChildren(results({ metrics: from(run.metrics), artifacts: from(run.artifacts) }));
}

await attempt(async () => {
  workflow = await api(`workflows/${workflowId}`);
  const now = await newestEvent();
  await load();
  const reload = gather(load);
  setInterval(() => isActive() && render(), 1000);
  setInterval(() => isActive() && reload(), LOOK_MS);
  follow(now, (event) => event.run_id === runId && reload(), reload, { workflow_id: workflowId });
});
