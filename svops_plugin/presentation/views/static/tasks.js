// Every task, to be kept in order; the board is where they are watched.
import { h, may, page, t } from "./core.js";
import { STATES, ago, stateBadge } from "./format.js";
import { listPage, listRow } from "./list_page.js";
import { owner } from "./lists.js";

const row = (task) => listRow(
  [h("a", { href: page(`tasks/${task.id}`), title: task.name }, task.name), h("span", { class: "sv-small sv-muted" }, `#${task.id} · ${task.customer}`)],
  [
    [stateBadge(task.status)],
    [task.dataset ? h("a", { href: page(`datasets/${task.dataset.id}`) }, task.dataset.name) : "–", "sv-clip sv-row-away"],
    [task.configuration.build_config ?? "–", "sv-row-away"],
    [task.tags.map((tag) => h("span", { class: "sv-tag" }, tag)), "sv-row-away"],
    [owner(task), "sv-row-away"],
    [ago(task.updated_at)],
  ]);

await listPage({
  title: t("Tasks"), resource: "tasks", row, none: t("There are no tasks yet."),
  heads: [t("Task"), t("State"), t("Dataset"), t("Preset"), t("Tags"), t("Owner"), t("Changed")],
  add: may("task", "create") ? h("a", { class: "sv-button sv-primary", href: page("tasks/new") }, t("New task")) : null,
  filters: [["status", t("Any state"), Object.fromEntries(["pending", "running", "completed", "failed", "cancelled"].map((state) => [state, STATES[state]]))]],
});
