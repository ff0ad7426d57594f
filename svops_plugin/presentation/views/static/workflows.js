// The DAGs known to SVOps.
import { h, may, page, t } from "./core.js";
import { ago } from "./format.js";
import { listPage, listRow } from "./list_page.js";
import { owner } from "./lists.js";

const row = (workflow) => listRow(
  [h("a", { href: page(`workflows/${workflow.id}`) }, workflow.name), h("span", { class: "sv-small sv-muted" }, workflow.dag_id)],
  [[workflow.is_active ? t("Active") : t("Not active")], [workflow.description ?? "", "sv-row-away"], [owner(workflow), "sv-row-away"], [ago(workflow.updated_at)]]);

await listPage({
  title: t("Workflows"), resource: "workflows", row, none: t("No DAG is known yet."),
  heads: [t("Workflow"), t("State"), t("Description"), t("Owner"), t("Changed")],
  add: may("workflow", "create") ? h("a", { class: "sv-button sv-primary", href: page("workflows/new") }, t("New workflow")) : null,
});
