// A page that is a list with a search: what Tasks, Datasets and Workflows have in common.
import { api, attempt, h, inTurn, keepInAddress, main, pausing, t } from "./core.js";
import { pager, table } from "./lists.js";

/** Show a list of the API's; `row` makes a table row of an item. */
export function listPage({ title, resource, heads, row, add, none, query = {}, filters = [] }) {
  const asked = Object.fromEntries(new URLSearchParams(location.search));
  const content = h("div", { class: "sv-panel sv-table" });
  const pages = h("div", { class: "sv-pages" });
  const search = h("input", { type: "search", placeholder: t("Search by name"), "aria-label": t("Search by name"), value: asked.q ?? "", maxlength: 255 });

  const load = inTurn(() => api(resource, { query: { limit: 50, ...query, ...asked } }), (found) => {
    const nothing = Object.values(asked).some(Boolean) ? t("Nothing is like that.") : none;
    content.replaceChildren(found.items.length ? table(heads, found.items.map(row), { cards: true }) : h("div", { class: "sv-empty" }, h("p", {}, nothing), add ?? ""));
    pages.replaceChildren(...pager(found, (skip) => change({ skip })));
  });

  function change(values) {
    Object.assign(asked, values);
    for (const name of Object.keys(asked)) if (!asked[name]) delete asked[name];
    keepInAddress(asked);
    return attempt(load);
  }

  search.addEventListener("input", pausing(() => change({ q: search.value.trim(), skip: "" }), 200));
  const chosen = filters.map(([name, label, options]) => {
    const pick = h("select", { "aria-label": label, onchange: () => change({ [name]: pick.value, skip: "" }) },
      h("option", { value: "" }, label), Object.entries(options).map(([value, text]) => h("option", { value }, text)));
    pick.value = asked[name] ?? "";
    return pick;
  });
  main.append(h("div", { class: "sv-head" }, h("div", { class: "sv-title" }, h("h1", {}, title)), add?.cloneNode(true)),
    h("div", { class: "sv-filters", role: "search" }, search, chosen), content, pages);
  return change({});
}

/** Return a table row whose first cell is the name; `away` cells leave on narrow screens. */
export function listRow(name, cells) {
  return h("tr", {}, h("td", { class: "sv-name sv-row-wide" }, name), cells.map(([content, kind]) => h("td", { class: kind ?? "" }, content)));
}
