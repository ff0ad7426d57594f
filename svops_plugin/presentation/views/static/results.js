// What an execution measured and left: numbers, curves, pictures, the report, files.
import { h, t } from "./core.js";
import { lineChart } from "./charts.js";
import { bytes, figure } from "./format.js";
import { table } from "./lists.js";

/** Return the panels of an outcome. */
export function results(outcome) {
  const numbers = outcome.metrics.filter((metric) => metric.step === null);
  const curves = Map.groupBy ? Map.groupBy(outcome.metrics.filter((metric) => metric.step !== null), (metric) => metric.name) : new Map();
  const report = outcome.artifacts.find((artifact) => artifact.media_type.startsWith("text/html"));
  const pictures = outcome.artifacts.filter((artifact) => artifact.media_type.startsWith("image/"));
  return h("div", { class: "sv-stack" },
    numbers.length || curves.size ? h("div", { class: "sv-panel" }, h("h2", {}, t("Metrics")), metricTable(numbers),
      h("div", { class: "sv-charts" }, [...curves].map(([name, points]) => lineChart(name, [{ name, points: points.map(({ step, value }) => [step, value]) }])))) : "",
    report ? h("div", { class: "sv-panel" }, h("h2", {}, t("Report")),
      h("iframe", { class: "sv-report", src: report.url, title: t("Report"), loading: "lazy", sandbox: "" }),
      h("p", {}, h("a", { href: `${report.url}?download=true`, download: true }, t("Download")))) : "",
    pictures.length ? h("div", { class: "sv-panel" }, h("h2", {}, t("Plots")), h("div", { class: "sv-charts" }, pictures.map((one) =>
      h("figure", {}, h("a", { href: one.url }, h("img", { src: one.url, alt: one.name, loading: "lazy", class: "sv-plot" })), h("figcaption", {}, one.name))))) : "",
    outcome.artifacts.length ? h("div", { class: "sv-panel" }, h("h2", {}, t("Files")), table([t("Name"), t("Made by"), t("Size")],
      outcome.artifacts.map((one) => [h("a", { href: one.url.endsWith("html") ? one.url : `${one.url}?download=true` }, one.name), one.dag_id, bytes(one.size)]))) : "");
}

function metricTable(numbers) {
  return table([t("Metric"), t("Value"), t("Measured by")], numbers.map((metric) => [metric.name, h("span", { class: "sv-number" }, figure(metric.value)), metric.dag_id]));
}
