// A dataset: what is in it, whether it has changed, and the tasks that used it.
import { Refusal, api, ask, attempt, context, h, main, may, mayChange, page, t } from "./core.js";
import { bars } from "./charts.js";
import { ago, figure, plain, stateBadge } from "./format.js";
import { owner, table } from "./lists.js";
import { panel } from "./parts.js";

const id = context.parameters.dataset_id;
const facts = (pairs) => h("dl", { class: "sv-facts" }, pairs.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value ?? "–")]));

const ELSEWHERE = ["data_type", "listing"]; // of a profile: the first stands beside it, the second is the server's own
const samples = h("section");
const changes = h("section");

async function show() {
  const [dataset, tasks] = await Promise.all([api(`datasets/${id}`), api("tasks", { query: { dataset_id: id, limit: 20 } })]);
  document.title = `${dataset.name} · SVOps`;
  const remove = async () => {
    const agreed = await ask(t("Delete {name}?", { name: dataset.name }), h("p", {}, t("SVOps forgets it; its files stay.")), { agree: t("Delete"), danger: true, ready: () => api(`datasets/${id}`, { method: "DELETE" }) });
    if (agreed) location.assign(page("datasets"));
  };
  main.append(
    h("div", { class: "sv-head" }, h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, h("a", { href: page("datasets") }, t("Datasets")), ` / #${id}`), h("h1", {}, dataset.name)),
      h("div", { class: "sv-actions" },
        may("task", "create") && h("a", { class: "sv-button sv-primary", href: `${page("tasks/new")}?dataset_id=${id}` }, t("New task with it")),
        mayChange("dataset", "edit", dataset.created_by_id) && h("a", { class: "sv-button", href: page(`datasets/${id}/edit`) }, t("Edit")),
        mayChange("dataset", "delete", dataset.created_by_id) && h("button", { class: "sv-button sv-danger", onclick: remove }, t("Delete")))),
    h("div", { class: "sv-columns" },
      h("div", { class: "sv-stack" }, profile(dataset.profile), samples,
        panel(t("Tasks that use it"), tasks.items.length ? table([t("Task"), t("State"), t("Changed")], tasks.items.map((task) => [h("a", { href: page(`tasks/${task.id}`) }, task.name), stateBadge(task.status), ago(task.updated_at)])) : h("p", { class: "sv-muted" }, t("None yet.")))),
      h("div", { class: "sv-stack" }, panel(t("About"), facts([
        [t("Type"), dataset.data_type], [t("Path"), h("code", {}, dataset.path)], [t("Ground truth"), dataset.gt_path ? h("code", {}, dataset.gt_path) : "–"],
        [t("Fingerprint"), h("code", {}, dataset.fingerprint?.slice(0, 16) ?? "–")], [t("Owner"), owner(dataset)],
        [t("Tags"), dataset.tags.length ? dataset.tags.map((tag) => h("span", { class: "sv-tag" }, tag)) : "–"],
        [t("Created"), ago(dataset.created_at)], [t("Description"), dataset.description || "–"],
      ])), changes)));
  showPart(samples, t("Samples"), "samples", gallery);
  showPart(changes, t("Since the last run"), "changes", difference);
}

/** Fill a part of the page that takes the server longer, for it looks at the files. */
async function showPart(part, title, path, content) {
  try {
    const shown = content(await api(`datasets/${id}/${path}`));
    if (shown) part.replaceChildren(panel(title, shown));
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    part.replaceChildren(panel(title, h("p", { class: "sv-muted" }, refusal.message)));
  }
}

function gallery({ items }) {
  const pictures = items.filter((one) => one.picture_url);
  return pictures.length > 0 && h("div", { class: "sv-gallery" }, pictures.map(({ name, label, picture_url }) =>
    h("figure", { title: name }, h("img", { src: picture_url, alt: name, loading: "lazy" }), h("figcaption", {}, label))));
}

function difference({ changed, certain, reason, ...kinds }) {
  if (changed === null) return h("p", { class: "sv-muted" }, reason);
  if (!changed) return h("p", {}, certain ? t("No file has changed.") : t("No file seems to have changed; not all were read."));
  const titles = { added: t("Added"), removed: t("Removed"), modified: t("Modified") };
  return facts(Object.entries(titles).filter(([kind]) => kinds[kind].total).map(([kind, title]) => {
    const { total, names } = kinds[kind];
    return [`${title} (${total})`, [names.map((name) => h("div", {}, h("code", {}, name))), total > names.length ? "…" : ""]];
  }));
}

function profile(found) {
  if (!found) return panel(t("Profile"), h("p", { class: "sv-muted" }, t("The first execution makes it.")));
  const counts = Object.entries(found.balance ?? {}).map(([label, { train, test }]) => [label, train + test]);
  const shown = ([name, value]) => (value === null || typeof value !== "object") && !ELSEWHERE.includes(name);
  const rest = Object.entries(found).filter(shown);
  return panel(t("Profile"), facts(rest.map(([name, value]) => [name, typeof value === "number" ? figure(value) : plain(value)])),
    counts.length ? h("div", { class: "sv-charts" }, bars(t("Samples in each class"), counts)) : "");
}

await attempt(show);
