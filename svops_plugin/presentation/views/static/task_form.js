// A task, to be made or changed. Its configuration is checked by the pipelines' own rules while it is typed.
import { Refusal, api, attempt, context, h, page, pausing, say, t } from "./core.js";
import { field, iniField, jsonField, tagsField } from "./fields.js";
import { formPage, refuseBeside } from "./form_page.js";

const id = context.parameters.task_id;
const long = (rows = 3) => h("textarea", { rows });
const box = () => h("input", { type: "checkbox" });
const choice = (options) => h("select", {}, options.map(([value, text]) => h("option", { value }, text)));

function flatten(task) {
  const { enabled, path } = task.video_output;
  return { ...task, ...task.configuration, dataset_id: task.dataset?.id ?? "", video_out_enabled: enabled, video_out_path: path, tags: task.tags };
}

async function show() {
  const [presets, datasets, task] = await Promise.all([api("presets"), api("datasets", { query: { limit: 1000, order_by: "name" } }), id ? api(`tasks/${id}`) : null]);
  const named = presets.items.map((one) => [one.name, one.description ? `${one.name}: ${one.description}` : one.name]);
  const f = {
    name: field("name", t("Name"), { required: true, wide: true }),
    customer: field("customer", t("Customer"), { required: true }),
    dataset_id: field("dataset_id", t("Dataset"), { input: choice([["", "–"], ...datasets.items.map((one) => [one.id, `${one.name} (${one.data_type})`])]) }),
    log_out_path: field("log_out_path", t("Output folder"), { required: true, wide: true, hint: t("Below {roots}; each attempt gets a folder of its own.", { roots: context.outputs.join(", ") || "–" }) }),
    description: field("description", t("Description"), { input: long(), wide: true }),
    tags: tagsField(),
    build_config: field("build_config", t("Preset"), { input: choice([["", t("Default")], ...named]), wide: true }),
    branch_name: field("branch_name", t("Branch")),
    commit_id: field("commit_id", t("Commit")),
    build_config_customized: field("build_config_customized", t("Customise the preset"), { input: box(), wide: true }),
    build_config_custom_conf: jsonField("build_config_custom_conf", t("Configuration (JSON)"), {}, { placeholder: '{\n  "estimator": "svc",\n  "test_size": 0.2\n}' }),
    build_config_custom_ini: iniField("build_config_custom_ini", t("INI sections"), {}, { placeholder: "[section]\nkey = value" }),
    video_out_enabled: field("video_out_enabled", t("Make an animation of the evaluated samples"), { input: box(), wide: true }),
    video_out_path: field("video_out_path", t("Animation folder"), { wide: true }),
  };
  const nothing = new Set(["dataset_id", "description", "branch_name", "commit_id", "build_config"]);
  const gather = () => Object.fromEntries(Object.values(f).map((one) => {
    const value = one.value();
    if (one.name === "dataset_id") return [one.name, value ? Number(value) : null];
    return [one.name, nothing.has(one.name) && value === "" ? null : value];
  }));
  const { form } = formPage({
    title: id ? t("Edit {name}", { name: task.name }) : t("New task"), crumb: h("a", { href: page("tasks") }, t("Tasks")),
    groups: [
      [t("Task"), [f.name, f.customer, f.dataset_id, f.log_out_path, f.description, f.tags]],
      [t("Configuration"), [f.build_config, f.branch_name, f.commit_id, f.build_config_customized, f.build_config_custom_conf, f.build_config_custom_ini]],
      [t("Animation"), [f.video_out_enabled, f.video_out_path]],
    ],
    resource: "tasks", id, version: task?.version, gather, flatten,
    initial: task ? flatten(task) : { log_out_path: context.outputs[0] ?? "", build_config: presets.items.find((one) => one.is_default)?.name ?? "", dataset_id: new URLSearchParams(location.search).get("dataset_id") ?? "" },
    leave: page(id ? `tasks/${id}` : "tasks"),
  });
  const reveal = () => {
    f.build_config_custom_conf.element.hidden = f.build_config_custom_ini.element.hidden = !f.build_config_customized.value();
    f.video_out_path.element.hidden = !f.video_out_enabled.value();
  };
  const check = pausing(() => checkConfiguration(f));
  form.addEventListener("input", reveal);
  for (const name of ["build_config", "build_config_customized", "build_config_custom_conf", "build_config_custom_ini"]) f[name].input.addEventListener("input", check);
  reveal();
}

/** Ask the pipelines' rules about a configuration, and show what they make of it. */
async function checkConfiguration(f) {
  const members = [f.build_config_custom_conf, f.build_config_custom_ini];
  if (members.some((one) => !one.valid())) return;
  const body = { build_config: f.build_config.value() || null, build_config_customized: f.build_config_customized.value(), build_config_custom_conf: members[0].value(), build_config_custom_ini: members[1].value() };
  const found = await api("tasks/check", { method: "POST", body }).catch((refusal) => {
    if (refusal instanceof Refusal) return { errors: refusal.errors };
    throw refusal;
  });
  refuseBeside(Object.values(f), found.errors ?? {});
  say(members[0].hint, found.resolved ? t("Makes: {values}", { values: JSON.stringify(found.resolved) }) : "");
}

await attempt(show);
