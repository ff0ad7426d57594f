// Parts of a page that are shown again and again without flicker.
import { h } from "./core.js";

export const panel = (title, ...content) => h("div", { class: "sv-panel" }, h("h2", {}, title), ...content);

/** Return an element for each name, and `put`, which gives one new content unless it is what is there already. */
export function parts(names) {
  const made = Object.fromEntries(names.map((name) => [name, h("section")]));
  const put = (name, content) => {
    const wanted = h("section", {}, content);
    if (wanted.isEqualNode(made[name])) return;
    made[name].replaceChildren(...wanted.childNodes);
    for (const log of made[name].querySelectorAll(".sv-log")) log.scrollTop = log.scrollHeight; // the end tells most
  };
  return { ...made, put };
}
