// The tab of a DAG run in Airflow: on to the task whose chain it belongs to, or to the run of a workflow.
import { api, attempt, h, main, page, t } from "./core.js";

const asked = new URLSearchParams(location.search);
const [dagId, runId] = [asked.get("dag_id") ?? "", asked.get("run_id") ?? ""];

/** Return the page about a DAG run, if SVOps knows of it. */
async function found() {
  const [, taskId] = runId.match(/^svops__task_(\d+)__/) ?? [];
  if (taskId) return `tasks/${taskId}`;
  const [workflow] = (await api("workflows", { query: { dag_id: dagId, limit: 1 } })).items;
  if (!workflow) return null;
  const [run] = (await api(`workflows/${workflow.id}/runs`, { query: { external_trigger_id: runId, limit: 1 } })).items;
  return run ? `workflows/${workflow.id}/runs/${run.id}` : null;
}

await attempt(async () => {
  const path = dagId && runId ? await found() : null;
  if (path) location.replace(page(path));
  else main.append(h("div", { class: "sv-empty" }, h("p", {}, t("SVOps does not know this run."))));
});
