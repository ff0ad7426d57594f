// A dataset, to be made or changed; its path is checked while it is typed.
import { Refusal, api, attempt, context, h, page, pausing, say, t } from "./core.js";
import { field, tagsField } from "./fields.js";
import { formPage } from "./form_page.js";

const id = context.parameters.dataset_id;
const TYPES = { Vector: t("Vector: tables of features"), Surf: t("Surf: local descriptors"), Jetson: t("Jetson: camera frames") };

async function show() {
  const dataset = id ? await api(`datasets/${id}`) : null;
  const folders = h("datalist", { id: "sv-folders" });
  const f = {
    name: field("name", t("Name"), { required: true, wide: true }),
    data_type: field("data_type", t("Type"), { input: h("select", {}, context.data_types.map((value) => h("option", { value }, TYPES[value] ?? value))) }),
    tags: tagsField(),
    path: field("path", t("Path"), { required: true, wide: true, input: h("input", { list: "sv-folders", autocomplete: "off" }) }),
    gt_path: field("gt_path", t("Ground truth"), { wide: true, hint: t("Only where it is not in the path's folder.") }),
    description: field("description", t("Description"), { input: h("textarea", { rows: 3 }), wide: true }),
  };
  const gather = () => Object.fromEntries(Object.values(f).map((one) => [one.name, ["gt_path", "description"].includes(one.name) && !one.value() ? null : one.value()]));
  const { form } = formPage({
    title: id ? t("Edit {name}", { name: dataset.name }) : t("New dataset"), crumb: h("a", { href: page("datasets") }, t("Datasets")),
    groups: [[t("Dataset"), Object.values(f)]], resource: "datasets", id, version: dataset?.version, gather, flatten: (found) => found,
    initial: dataset ?? {}, leave: page(id ? `datasets/${id}` : "datasets"),
  });
  form.append(folders);
  const check = pausing(() => checkPath(f, folders));
  for (const one of [f.path, f.gt_path, f.data_type]) one.input.addEventListener("input", check);
}

async function checkPath(f, folders) {
  const [path, data_type, gt_path] = [f.path.value(), f.data_type.value(), f.gt_path.value()];
  if (!path) return;
  const found = await api("datasets/check-path", { query: { path, data_type, gt_path } }).catch((refusal) => {
    if (refusal instanceof Refusal) return { valid: false, errors: { path: [refusal.message] }, completions: [] };
    throw refusal;
  });
  if (f.path.value() !== path) return; // typed on meanwhile
  for (const one of [f.path, f.gt_path]) one.refuse((found.errors[one.name] ?? []).join(" "));
  f.path.hint.className = found.valid ? "sv-good" : "sv-hint";
  say(f.path.hint, found.valid ? t("It can be read.") : "");
  folders.replaceChildren(...found.completions.map(({ path: value }) => h("option", { value })));
}

await attempt(show);
