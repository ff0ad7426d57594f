// Two to six executions side by side.
import { api, attempt, h, main, page, t } from "./core.js";
import { confusion, lineChart } from "./charts.js";
import { ago, figure, plain, stateBadge } from "./format.js";
import { panel } from "./parts.js";


function sideBySide(executions, rows, write) {
  const table = h("table", { class: "sv-difference" },
    h("thead", {}, h("tr", {}, h("th", {}), executions.map((one) => h("th", { scope: "col" }, label(one))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, h("th", { scope: "row" }, row.name), row.values.map((value) => h("td", { class: "sv-number" }, write(value, row.values)))))));
  table.style.minWidth = `${160 + executions.length * 110}px`;
  return h("div", { class: "sv-scroll" }, table);
}

const label = (one) => `#${one.task_id}.${one.attempt}`;

/** Write a number, and how far it is from the first. */
function measured(value, values) {
  const [base] = values;
  const away = typeof base === "number" && typeof value === "number" && value !== base ? ` (${value > base ? "+" : "−"}${figure(Math.abs(value - base))})` : "";
  return [figure(value), h("span", { class: "sv-muted sv-small" }, away)];
}

await attempt(async () => {
  const ids = new URLSearchParams(location.search).get("ids");
  main.append(h("div", { class: "sv-head" }, h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, h("a", { href: page("board") }, t("Board"))), h("h1", {}, t("Compare")))));
  if (!ids) {
    main.append(h("div", { class: "sv-empty" }, t("Select two to six tasks on the board, or compare a task's attempts.")));
    return;
  }
  const found = await api("executions/compare", { query: { ids } });
  const { executions } = found;
  const differences = found.differences.filter((row) => new Set(row.values.map(plain)).size > 1); // {} and nothing read the same
  const matrices = found.confusion_matrices.map((matrix, index) => [matrix, executions[index]]).filter(([matrix]) => matrix);
  const series = Object.entries(Object.groupBy?.(found.series, (one) => one.name) ?? {});
  main.append(h("div", { class: "sv-stack" },
    panel(t("Executions"), h("ul", { class: "sv-steps" }, executions.map((one) => h("li", { class: "sv-step", "data-state": one.status },
      h("a", { href: page(`tasks/${one.task_id}`) }, `${label(one)} ${one.task_name}`), h("span", {}, stateBadge(one.status)), h("span", { class: "sv-small sv-muted" }, `${one.requested_by} · `, ago(one.created_at)), one.note ? h("span", { class: "sv-small" }, one.note) : "")))),
    panel(t("What differs"), differences.length ? sideBySide(executions, differences, plain) : h("p", { class: "sv-muted" }, t("Nothing that they were given."))),
    panel(t("Metrics"), found.metrics.length ? sideBySide(executions, found.metrics, measured) : h("p", { class: "sv-muted" }, t("None measured."))),
    matrices.length ? panel(t("Confusion matrices"), h("p", { class: "sv-hint" }, t("Rows are what is true, columns what was predicted.")), h("div", { class: "sv-charts" }, matrices.map(([matrix, one]) => h("figure", {}, confusion(matrix), h("figcaption", {}, label(one)))))) : "",
    found.curves.length ? panel(t("Curves"), h("div", { class: "sv-charts" }, found.curves.map((curve) => lineChart(curve.name, curve.values.map((points, index) => ({ name: label(executions[index]), points: points ?? [] })))))) : "",
    series.length ? panel(t("Over attempts"), h("div", { class: "sv-charts" }, series.map(([name, lines]) => lineChart(name, lines.map((line) => ({ name: `#${line.task_id}`, points: line.points.map((point) => [point.attempt, point.value]) })))))) : ""));
});
