// What forms share: a draft that outlives the page, errors beside their fields, and what somebody else has changed meanwhile.
import { Refusal, api, h, main, notify, page, say, t } from "./core.js";
import { plain } from "./format.js";

/**
 * Show a form. `groups` are `[title, fields]`; `gather` returns what is sent, and throws what a field's reader throws;
 * `flatten` returns a resource as the fields have it.
 */
export function formPage({ title, crumb, groups, resource, id, version, gather, flatten, initial, leave, agree = t("Save") }) {
  const fields = groups.flatMap(([, members]) => members);
  const key = `svops:${location.pathname}`;
  const problem = h("p", { class: "sv-error", role: "alert" });
  const difference = h("div");
  const draft = h("div");
  const send = h("button", { class: "sv-button sv-primary", type: "submit" }, agree);
  const form = h("form", { class: "sv-form sv-stack", novalidate: true, onsubmit: submit }, draft, difference,
    groups.map(([name, members]) => h("div", { class: "sv-panel" }, h("h2", {}, name), members.map((one) => one.element))),
    problem, h("div", { class: "sv-actions" }, send, h("a", { class: "sv-button", href: leave, onclick: forget }, t("Cancel"))));
  main.append(h("div", { class: "sv-head" }, h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, crumb), h("h1", {}, title))), form);

  const raw = (one) => (one.text ? one.text() : one.value());
  put(initial);
  restore();
  form.addEventListener("input", keep);

  function put(values) {
    for (const one of fields) if (one.name in values) one.put(values[one.name]);
  }

  function keep() {
    sessionStorage.setItem(key, JSON.stringify({ version, values: Object.fromEntries(fields.map((one) => [one.name, raw(one)])) }));
  }

  function forget() {
    sessionStorage.removeItem(key);
  }

  function restore() {
    const kept = sessionStorage.getItem(key);
    if (!kept) return;
    const { version: edited, values } = JSON.parse(kept);
    if (!values) return forget(); // kept by another version of this page
    put(values);
    version = edited; // what was changed meanwhile is shown when this is saved
    const anew = h("button", { class: "sv-button sv-slim", type: "button", onclick: () => { forget(); location.reload(); } }, t("Start anew"));
    draft.append(h("div", { class: "sv-banner" }, t("This is what you had typed before."), anew));
  }

  async function submit(event) {
    event.preventDefault();
    say(problem, "");
    for (const one of fields) one.refuse("");
    const missing = fields.filter((one) => one.input.required && !one.value());
    missing.forEach((one) => one.refuse(t("This is needed.")));
    const broken = fields.filter((one) => one.valid && !one.valid());
    if (missing.length || broken.length) return (missing[0] ?? broken[0]).input.focus();
    send.disabled = true;
    try {
      const path = id ? `${resource}/${id}` : resource;
      const body = id ? { ...gather(), version } : gather();
      const saved = await api(path, { method: id ? "PUT" : "POST", body });
      forget();
      location.assign(page(`${resource}/${saved.id}`));
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      refused(refusal);
    } finally {
      send.disabled = false;
    }
    return undefined;
  }

  function refused(refusal) {
    if (refusal.current) return compare(refusal.current);
    const [first, elsewhere] = refuseBeside(fields, refusal.errors);
    if (elsewhere.length || !first) say(problem, elsewhere.join(" ") || refusal.message);
    (first?.input ?? problem).focus();
    if (refusal.status === 0) notify(refusal.message, { bad: true });
    return undefined;
  }

  /** Show what somebody else has saved meanwhile, field by field, to be kept or taken over. */
  function compare(current) {
    const theirs = flatten(current);
    const mine = gather();
    const rows = fields.filter((one) => plain(theirs[one.name]) !== plain(mine[one.name])).map((one) => {
      const take = h("button", { class: "sv-button sv-slim", type: "button", onclick: () => { one.put(theirs[one.name]); keep(); row.remove(); } }, t("Take over"));
      const row = h("tr", {}, h("th", { scope: "row" }, one.name), h("td", {}, plain(mine[one.name])), h("td", {}, plain(theirs[one.name])), h("td", {}, take));
      return row;
    });
    version = current.version;
    difference.replaceChildren(h("div", { class: "sv-banner", role: "alert", tabindex: -1 }, t("Somebody has saved this meanwhile. What differs is below; Save keeps yours.")),
      h("div", { class: "sv-scroll" }, h("table", { class: "sv-difference" }, h("thead", {}, h("tr", {}, [t("Field"), t("Yours"), t("Theirs"), ""].map((text) => h("th", {}, text)))), h("tbody", {}, rows))));
    difference.firstChild.focus();
  }

  return { form, fields };
}

/** Show each reason beside its field; returns the first of these, and the reasons that belong to none. */
export function refuseBeside(fields, errors) {
  const known = new Map(fields.map((one) => [one.name, one]));
  let first = null;
  const elsewhere = [];
  for (const [name, why] of Object.entries(errors)) {
    const [top, ...inside] = name.split(".");
    const told = [inside.join("."), why.join(" ")].filter(Boolean).join(": ");
    if (known.has(top)) known.get(top).refuse(told);
    else elsewhere.push(`${name}: ${why.join(" ")}`);
    first ??= known.get(top) ?? null;
  }
  return [first, elsewhere];
}
