// A workflow, to be registered or changed. Which DAG it is of is said once.
import { api, attempt, context, h, page, say, t } from "./core.js";
import { field, searchField } from "./fields.js";
import { formPage } from "./form_page.js";

const id = context.parameters.workflow_id;

/** Return the field for a DAG: those that Airflow has and that are not registered yet. */
function dagField() {
  const made = searchField("dag_id", t("DAG"), async (text) => {
    const { items } = await api("dags", { query: { q: text, limit: 50 } });
    const chosen = items.find((one) => one.dag_id === text);
    say(made.hint, chosen ? told(chosen) : "");
    return items.map((one) => [one.dag_id, one.description ?? ""]);
  }, { required: true, wide: true });
  return made;
}

function told(dag) {
  if (dag.is_broken) return t("Its file has errors; it can be run when they are mended.");
  return dag.is_paused ? t("It is paused; it can be run when it is not.") : dag.description ?? "";
}

async function show() {
  const workflow = id ? await api(`workflows/${id}`) : null;
  const f = {
    ...(id ? {} : { dag_id: dagField() }),
    name: field("name", t("Name"), { required: true, wide: true }),
    description: field("description", t("Description"), { input: h("textarea", { rows: 3 }), wide: true }),
    ...(id ? { is_active: field("is_active", t("It may be run"), { input: h("input", { type: "checkbox" }), wide: true }) } : {}),
  };
  const gather = () => Object.fromEntries(Object.values(f).map((one) => [one.name, one.name === "description" ? one.value() || null : one.value()]));
  formPage({
    title: id ? t("Edit {name}", { name: workflow.name }) : t("New workflow"), crumb: h("a", { href: page("workflows") }, t("Workflows")),
    groups: [[t("Workflow"), Object.values(f)]], resource: "workflows", id, gather, flatten: (found) => found,
    initial: workflow ?? {}, leave: page(id ? `workflows/${id}` : "workflows"),
  });
  f.dag_id?.input.addEventListener("change", () => f.name.value() || f.name.put(f.dag_id.value()));
}

await attempt(show);
