// Small charts, drawn as SVG in the theme's colours.
import { h, svg } from "./core.js";
import { figure } from "./format.js";

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [340, 180, 46, 22];

/** Return a chart of one or more lines; each is `{ name, points: [[x, y], …] }`. */
export function lineChart(title, lines) {
  const points = lines.flatMap((line) => line.points);
  if (!points.length) return "";
  const [x0, x1] = range(points.map(([x]) => x));
  const [y0, y1] = roomy(range(points.map(([, y]) => y)));
  const x = (value) => LEFT + ((value - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - 10);
  const y = (value) => 8 + (1 - (value - y0) / (y1 - y0 || 1)) * (HEIGHT - BOTTOM - 14);
  const chart = svg("svg", { class: "sv-chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const at of [y0, (y0 + y1) / 2, y1]) {
    chart.append(svg("line", { class: "sv-grid", x1: LEFT, x2: WIDTH - 8, y1: y(at), y2: y(at) }), svg("text", { x: LEFT - 6, y: y(at) + 4, "text-anchor": "end" }, figure(at)));
  }
  for (const at of x0 === x1 ? [x0] : [x0, x1]) chart.append(svg("text", { x: x(at), y: HEIGHT - 6, "text-anchor": at === x0 ? "start" : "end" }, figure(at)));
  lines.forEach((line, index) => {
    const colour = `var(--sv-series-${(index % 6) + 1})`;
    const path = svg("polyline", { class: "sv-curve", points: line.points.map(([px, py]) => `${x(px)},${y(py)}`).join(" ") });
    path.style.stroke = colour;
    chart.append(path);
    for (const [px, py] of line.points.length < 40 ? line.points : []) {
      const dot = svg("circle", { cx: x(px), cy: y(py), r: 3 }, svg("title", {}, `${line.name}: ${figure(py)} (${figure(px)})`));
      dot.style.fill = colour;
      chart.append(dot);
    }
  });
  return h("figure", {}, chart, h("figcaption", {}, title, lines.length > 1 ? legend(lines) : ""));
}

function legend(lines) {
  return lines.map((line, index) => {
    const key = h("span", { class: "sv-tag" }, line.name);
    key.style.color = `var(--sv-series-${(index % 6) + 1})`;
    return key;
  });
}

const range = (values) => [Math.min(...values), Math.max(...values)];

/** Give a line that is flat something to be flat in. */
const roomy = ([low, high]) => (low === high ? [low - Math.abs(low || 1) / 10, high + Math.abs(high || 1) / 10] : [low, high]);

/** Return horizontal bars, e.g. of how many samples each class has. */
export function bars(title, counts) {
  const most = Math.max(1, ...counts.map(([, count]) => count));
  const chart = svg("svg", { class: "sv-chart", viewBox: `0 0 ${WIDTH} ${counts.length * 20 + 4}`, role: "img", "aria-label": title });
  counts.forEach(([name, count], index) => {
    const label = String(name).length > 10 ? `${String(name).slice(0, 9)}…` : String(name);
    const bar = svg("rect", { x: 70, y: index * 20 + 4, width: Math.max(1, (count / most) * (WIDTH - 120)), height: 13, rx: 3 }, svg("title", {}, `${name}: ${count}`));
    bar.style.fill = "var(--sv-series-1)";
    chart.append(svg("text", { x: 64, y: index * 20 + 14, "text-anchor": "end" }, label), bar, svg("text", { x: 76 + (count / most) * (WIDTH - 120), y: index * 20 + 14 }, figure(count)));
  });
  return h("figure", {}, chart, h("figcaption", {}, title));
}

/** Return a confusion matrix; rows are what is true. */
export function confusion({ labels, matrix }) {
  const most = Math.max(1, ...matrix.flat());
  const cell = (count, row, column) => {
    const made = h("td", { class: row === column ? "" : "sv-wrong" }, count || "");
    made.style.setProperty("--share", count / most);
    return made;
  };
  return h("div", { class: "sv-scroll" }, h("table", { class: "sv-matrix" },
    h("thead", {}, h("tr", {}, h("th"), labels.map((label) => h("th", { scope: "col" }, label)))),
    h("tbody", {}, matrix.map((counts, row) => h("tr", {}, h("th", { scope: "row" }, labels[row]), counts.map((count, column) => cell(count, row, column)))))));
}
