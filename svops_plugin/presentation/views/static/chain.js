// A task's chain as a bar with a segment for each step; only what has changed is painted anew.
import { h, t } from "./core.js";
import { STATES } from "./format.js";

const SHARE = { success: 1, failed: 1, cancelled: 1, reused: 1, skipped: 1, queued: 0 };

/** Return how much of a step is done, from 0 to 1. */
export function share(run) {
  if (run.status in SHARE) return SHARE[run.status];
  return run.progress.total ? Math.max(0.04, run.progress.done / run.progress.total) : 0.04;
}

/** Return the bar, and a function that shows a standing in it. */
export function chainBar() {
  const bar = h("div", { class: "sv-chain", role: "img" });
  const show = (standing) => {
    const runs = standing?.workflow_runs ?? [];
    const steps = runs.length ? runs : (standing?.dag_chain ?? ["", "", ""]).map((dag_id) => ({ dag_id, status: "queued" }));
    while (bar.children.length > steps.length) bar.lastChild.remove();
    while (bar.children.length < steps.length) bar.append(h("span", { class: "sv-segment" }, h("i")));
    steps.forEach((run, index) => paint(bar.children[index], run, runs.length > 0));
    const told = runs.map((run) => `${run.dag_id}: ${STATES[run.status]}`).join(", ") || t("Not executed yet");
    if (bar.getAttribute("aria-label") !== told) bar.setAttribute("aria-label", told);
  };
  show(null);
  return { bar, show };
}

function paint(segment, run, begun) {
  const state = begun ? run.status : "none";
  if (segment.dataset.state !== state) segment.dataset.state = state;
  const done = begun ? `${Math.round(share(run) * 100)}%` : "0%";
  const fill = segment.firstChild;
  if (fill.style.getPropertyValue("--done") !== done) fill.style.setProperty("--done", done);
  const title = begun ? `${run.dag_id}: ${STATES[run.status]}, ${run.progress.done}/${run.progress.total}` : run.dag_id;
  if (segment.title !== title) segment.title = title;
}
