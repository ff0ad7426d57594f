// Every dataset.
import { context, h, may, page, t } from "./core.js";
import { ago, figure } from "./format.js";
import { listPage, listRow } from "./list_page.js";
import { owner } from "./lists.js";

const row = (dataset) => listRow(
  [h("a", { href: page(`datasets/${dataset.id}`), title: dataset.name }, dataset.name), h("span", { class: "sv-small sv-muted" }, dataset.path)],
  [
    [dataset.data_type],
    [dataset.profile ? t("{n} samples", { n: figure(dataset.profile.samples) }) : "–"],
    [dataset.tags.map((tag) => h("span", { class: "sv-tag" }, tag)), "sv-row-away"],
    [owner(dataset), "sv-row-away"],
    [ago(dataset.updated_at), "sv-row-away"],
  ]);

await listPage({
  title: t("Datasets"), resource: "datasets", row, none: t("There are no datasets yet."),
  heads: [t("Dataset"), t("Type"), t("Size"), t("Tags"), t("Owner"), t("Changed")],
  add: may("dataset", "create") ? h("a", { class: "sv-button sv-primary", href: page("datasets/new") }, t("New dataset")) : null,
  filters: [["data_type", t("Any type"), Object.fromEntries(context.data_types.map((value) => [value, value]))]],
});
