// A timeline: below each other, groups of lanes, each group on its own clock.
import { svg, t } from "./core.js";
import { STATES, between, duration } from "./format.js";

// On a phone names stand above their bars, or neither would have room.
const NARROW = matchMedia("(max-width: 760px)").matches;
const WIDTH = NARROW ? 320 : 760;
const LEFT = NARROW ? 8 : 212; // of the bars
const LANE = NARROW ? 36 : 20;
const BAR = NARROW ? 18 : 3; // below the top of its lane
const BAR_HEIGHT = 14;
const HEAD = 20;
const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 604800];
const MOST = 6; // groups that are drawn
const UNSTARTED = ["reused", "skipped"];

/** Return an attempt as a group: a lane for each step. */
export function attemptGroup(one) {
  const lanes = one.workflow_runs.map((run) => ({ ...run, name: run.dag_id }));
  return { name: t("Attempt {n}", { n: one.attempt }), status: one.overall_status, begin: one.created_at, end: one.ended_at, lanes };
}

/** Return an SVG of the first groups, `{ name, status, begin, end, lanes }`, all on the same scale. */
export function gantt(groups) {
  const drawn = groups.slice(0, MOST);
  const length = Math.max(1, ...drawn.map((one) => between(one.begin, one.end)));
  const step = NICE.find((size) => length / size <= (NARROW ? 4 : 6)) ?? length;
  const x = (seconds) => LEFT + (Math.min(seconds, length) / length) * (WIDTH - LEFT - 8);
  const chart = svg("svg", { class: "sv-chart", role: "img", "aria-label": t("Timeline") });
  let y = 18;
  for (let at = 0; at <= length; at += step) {
    chart.append(svg("text", { x: x(at), y: 10, "text-anchor": x(at) > WIDTH - HEAD ? "end" : at ? "middle" : "start" }, duration(at)));
  }
  const grid = svg("g");
  chart.append(grid);
  for (const one of drawn) {
    chart.append(svg("text", { x: 0, y: y + 13, class: "sv-strong" }, one.name),
      svg("text", { x: 84, y: y + 13 }, `${STATES[one.status]}, ${duration(between(one.begin, one.end))}`));
    y += HEAD;
    for (const inner of one.lanes) {
      chart.append(lane(inner, one, x, y));
      y += LANE;
    }
    y += 8;
  }
  for (let at = 0; at <= length; at += step) grid.append(svg("line", { class: "sv-grid", x1: x(at), x2: x(at), y1: 16, y2: y - 6 }));
  chart.setAttribute("viewBox", `0 0 ${WIDTH} ${y}`);
  return chart;
}

function lane({ name, status, start_date, end_date }, group, x, y) {
  const state = STATES[status] ?? status;
  const short = name.length > 27 ? `${name.slice(0, 26)}…` : name;
  const drawn = svg("g", {}, svg("text", { x: NARROW ? LEFT : 12, y: y + 13 }, short));
  if (!start_date || UNSTARTED.includes(status)) {
    drawn.append(svg("text", { x: LEFT + 4, y: y + BAR + 10 }, state));
    return drawn;
  }
  const [begin, end] = [between(group.begin, start_date), between(group.begin, end_date ?? group.end)];
  const width = Math.max(3, x(end) - x(begin));
  const told = `${name}: ${state}, ${duration(end - begin)}`;
  drawn.append(svg("rect", { class: "sv-lane", "data-state": status, x: x(begin), y: y + BAR, width, height: BAR_HEIGHT, rx: 3 }, svg("title", {}, told)));
  return drawn;
}
