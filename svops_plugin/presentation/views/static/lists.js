// What lists share: owners, pages, and tables of plain cells.
import { context, h, t } from "./core.js";

/** Name who made something. */
export function owner({ created_by_id: id, created_by: name }) {
  if (id === null) return "–";
  return id === context.user.id ? t("You") : name;
}

/** Return the buttons to the other pages of a list. */
export function pager({ items, total, skip, limit }, go) {
  if (total <= limit && !skip) return [h("span", {}, t("{n} in all", { n: total }))];
  const to = (target, text, off) => h("button", { class: "sv-button sv-slim", disabled: off, onclick: () => go(String(Math.max(0, target) || "")) }, text);
  return [
    h("span", {}, t("{from} to {to} of {total}", { from: items.length ? skip + 1 : 0, to: skip + items.length, total })),
    to(skip - limit, t("Previous"), skip === 0), to(skip + limit, t("Next"), skip + limit >= total),
  ];
}

/** Return a table; a row is an array of cells, which are text or nodes. */
export function table(heads, rows, { cards = false } = {}) {
  const cell = (content) => h("td", {}, content instanceof Array ? content : content ?? "–");
  return h("div", { class: "sv-scroll" }, h("table", cards ? { class: "sv-cards" } : {},
    h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", {}, rows.map((row) => (row instanceof Array ? h("tr", {}, row.map(cell)) : row)))));
}
