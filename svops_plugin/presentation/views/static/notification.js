// A notification: what it tells, and what has become of each message, live.
import { api, ask, attempt, context, h, inTurn, main, may, notify, page, t } from "./core.js";
import { ago, plain, stateBadge } from "./format.js";
import { follow, gather, newestEvent } from "./live.js";
import { pager, table } from "./lists.js";
import { showSecret, typeTags } from "./notification_words.js";

const name = context.parameters.config_name;
const path = `notifications/configs/${encodeURIComponent(name)}`;
const SIGNED = ["webhook", "inbound"];
const head = h("section");
const about = h("section");
const deliveries = h("section");
const pages = h("div", { class: "sv-pages" });
let skip = "";

const post = (what) => api(`${path}/${what}`, { method: "POST" });

function button(text, work, kind = "") {
  return h("button", { class: `sv-button ${kind}`, onclick: () => attempt(work) }, text);
}

async function act(what) {
  notify((await post(what)).message);
  await load();
}

async function rotate() {
  const warning = h("p", {}, t("The old secret is good for nothing from then on."));
  if (await ask(t("New secret?"), warning, { agree: t("New secret"), danger: true })) await showSecret((await post("rotate-secret")).secret);
}

async function remove() {
  const agreed = await ask(t("Delete {name}?", { name }), h("p", {}, t("Its deliveries are forgotten with it.")), { agree: t("Delete"), danger: true, ready: () => api(path, { method: "DELETE" }) });
  if (agreed) location.assign(page("notifications"));
}

function actions(config) {
  const edits = may("notification", "edit");
  return h("div", { class: "sv-actions" },
    edits && config.channel !== "inbound" && config.enabled && button(t("Send a test"), () => act("test"), "sv-primary"),
    edits && (config.enabled ? button(t("Disable"), () => act("disable")) : button(t("Enable"), () => act("enable"))),
    edits && SIGNED.includes(config.channel) && button(t("New secret"), rotate),
    may("notification", "delete") && button(t("Delete"), remove, "sv-danger"));
}

function row(one) {
  const again = async () => {
    await post(`deliveries/${one.id}/redeliver`);
    await load();
  };
  return [
    h("span", {}, one.event_type, h("span", { class: "sv-small sv-muted" }, ` #${one.event_id}`)), stateBadge(one.status), one.attempts,
    ago(one.delivered_at ?? one.next_attempt_at), one.last_error ? h("div", { class: "sv-why" }, one.last_error) : "",
    may("notification", "edit") && one.status !== "pending" ? h("button", { class: "sv-button sv-slim", onclick: () => attempt(again) }, t("Send again")) : "",
  ];
}

const find = () => Promise.all([api(path), api(`${path}/deliveries`, { query: { limit: 50, skip } })]);

const load = inTurn(find, ([config, found]) => {
  document.title = `${config.name} · SVOps`;
  head.replaceChildren(h("div", { class: "sv-head" },
    h("div", { class: "sv-title" }, h("div", { class: "sv-crumb" }, h("a", { href: page("notifications") }, t("Notifications"))), h("h1", {}, config.name)), actions(config)));
  const facts = [
    [t("State"), config.enabled ? t("Enabled") : t("Disabled")], [t("Channel"), config.channel], [t("Address"), h("code", {}, config.webhook_url ?? "–")],
    [t("Tells"), config.notification_types.length ? typeTags(config) : "–"], [t("Only what is about"), h("code", {}, plain(config.filters))],
    [t("On receive"), h("code", {}, plain(config.on_receive))],
  ];
  about.replaceChildren(h("div", { class: "sv-panel" }, h("h2", {}, t("About")), h("dl", { class: "sv-facts" }, facts.map(([term, value]) => [h("dt", {}, term), h("dd", {}, value)]))));
  const heads = [t("Event"), t("State"), t("Attempts"), t("When"), t("Error"), ""];
  deliveries.replaceChildren(h("div", { class: "sv-panel" }, h("h2", {}, t("Deliveries")),
    found.items.length ? table(heads, found.items.map(row)) : h("p", { class: "sv-muted" }, t("Nothing was sent yet."))));
  pages.replaceChildren(...pager(found, (to) => { skip = to; attempt(load); }));
});

main.append(head, h("div", { class: "sv-columns" }, h("div", { class: "sv-stack" }, deliveries, pages), h("div", { class: "sv-stack" }, about)));
await attempt(async () => {
  const now = await newestEvent();
  await load();
  const reload = gather(load, 500);
  follow(now, (event) => event.type.startsWith("notification.") && reload(), reload);
});
