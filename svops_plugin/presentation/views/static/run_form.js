// A run of a workflow alone: for which task, on which dataset, with which parameters.
import { api, attempt, context, h, page, t } from "./core.js";
import { field, jsonField, searchField } from "./fields.js";
import { formPage } from "./form_page.js";
import { plain } from "./format.js";
import { table } from "./lists.js";

const id = context.parameters.workflow_id;

/** Return a field for one of many, to be found by name or number; its value is the number. */
function numberField(name, label, resource, hint) {
  const made = searchField(name, label, async (text) => {
    const { items } = await api(resource, { query: { q: /^\d*$/.test(text) ? "" : text, limit: 50 } });
    return items.map((one) => [one.id, one.name]);
  }, { hint });
  return { ...made, value: () => (/^\d+$/.test(made.value()) ? Number(made.value()) : made.value() || null), text: made.value };
}

/** Return what the DAG takes, in a table. */
function described(params) {
  if (!params.length) return h("p", { class: "sv-hint sv-wide" }, t("This DAG says nothing of parameters; whatever is given reaches it as its conf."));
  const rows = params.map((one) => [h("code", {}, one.name), one.description ?? "", h("code", {}, plain(one.schema))]);
  return h("div", { class: "sv-wide" }, table([t("Parameter"), t("Description"), t("What it may be")], rows));
}

async function show() {
  const [workflow, { items: params }] = await Promise.all([api(`workflows/${id}`), api(`workflows/${id}/params`)]);
  const f = {
    task_id: numberField("task_id", t("Task"), "tasks", t("By name or number. SVOps' own pipelines need one.")),
    dataset_id: numberField("dataset_id", t("Dataset"), "datasets", t("By name or number, in place of the task's own.")),
    parameters: jsonField("parameters", t("Parameters"), {}),
    note: field("note", t("Note"), { input: h("textarea", { rows: 3, maxlength: 10000 }), wide: true }),
  };
  const elsewhere = (one) => one.value === null || Object.hasOwn(f, one.name); // to be said, or said in a field of its own
  const given = Object.fromEntries(params.filter((one) => !elsewhere(one)).map((one) => [one.name, one.value]));
  const gather = () => Object.fromEntries(Object.values(f).map((one) => [one.name, one.value()]));
  const { form } = formPage({
    title: t("Run {name}", { name: workflow.name }), crumb: [h("a", { href: page("workflows") }, t("Workflows")), " / ", h("a", { href: page(`workflows/${id}`) }, workflow.name)],
    groups: [[t("Run"), Object.values(f)]], resource: `workflows/${id}/runs`, gather, flatten: (found) => found,
    initial: { parameters: given }, leave: page(`workflows/${id}`), agree: t("Run"),
  });
  form.querySelector("#sv-parameters").closest(".sv-field").before(described(params));
}

await attempt(show);
