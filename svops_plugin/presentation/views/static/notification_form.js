// A new notification.
import { Refusal, api, attempt, h, main, page, say, t } from "./core.js";
import { field, jsonField } from "./fields.js";
import { TYPES, showSecret } from "./notification_words.js";

const INBOUND = "inbound";

async function show() {
  const known = await api("notifications/types");
  const select = h("select", {}, known.channels.map((value) => h("option", { value }, value)));
  const f = {
    name: field("name", t("Name"), { required: true }),
    channel: field("channel", t("Channel"), { input: select }),
    webhook_url: field("webhook_url", t("Address"), { wide: true, hint: t("The https address of a webhook, or Apprise's address of the service.") }),
    on_receive: jsonField("on_receive", t("On receive"), {}, { hint: t("What a message does."), placeholder: '{"execute_task": 1}' }),
  };
  const types = known.notification_types.map((value) => field(value, TYPES[value] ?? value, { input: h("input", { type: "checkbox" }) }));
  const filters = [field("customer", t("Customer")), field("tag", t("Tag"))];
  const told = h("div", { class: "sv-panel" }, h("h2", {}, t("Tells")), types.map((one) => one.element));
  const about = h("div", { class: "sv-panel" }, h("h2", {}, t("Only what is about")), filters.map((one) => one.element));
  const problem = h("p", { class: "sv-error", role: "alert" });
  const send = h("button", { class: "sv-button sv-primary", type: "submit" }, t("Save"));
  const fields = Object.values(f);

  function settle() {
    const receives = select.value === INBOUND;
    f.on_receive.element.hidden = !receives;
    f.webhook_url.element.hidden = told.hidden = about.hidden = receives;
  }

  function gather() {
    const body = { name: f.name.value(), channel: select.value };
    const rule = f.on_receive.value();
    if (select.value === INBOUND) return Object.keys(rule).length ? { ...body, on_receive: rule } : body;
    const wanted = filters.map((one) => [one.name, one.value()]).filter(([, value]) => value);
    const chosen = types.filter((one) => one.value()).map((one) => one.name);
    return { ...body, webhook_url: f.webhook_url.value(), notification_types: chosen, filters: Object.fromEntries(wanted) };
  }

  async function submit(event) {
    event.preventDefault();
    say(problem, "");
    for (const one of fields) one.refuse("");
    if (select.value === INBOUND && !f.on_receive.valid()) return f.on_receive.input.focus();
    send.disabled = true;
    try {
      const made = await api("notifications/configs", { method: "POST", body: gather() });
      if (made.secret) await showSecret(made.secret);
      location.assign(page(`notifications/${made.name}`));
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      const blamed = fields.filter((one) => refusal.errors[one.name]);
      for (const one of blamed) one.refuse(refusal.errors[one.name].join(" "));
      if (blamed.length) blamed[0].input.focus();
      else say(problem, refusal.message);
    } finally {
      send.disabled = false;
    }
  }

  select.addEventListener("input", settle);
  settle();
  main.append(
    h("div", { class: "sv-head" }, h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, h("a", { href: page("notifications") }, t("Notifications"))), h("h1", {}, t("New notification")))),
    h("form", { class: "sv-form sv-stack", novalidate: true, onsubmit: submit },
      h("div", { class: "sv-panel" }, h("h2", {}, t("Notification")), fields.map((one) => one.element)), told, about,
      problem, h("div", { class: "sv-actions" }, send, h("a", { class: "sv-button", href: page("notifications") }, t("Cancel")))));
}

await attempt(show);
