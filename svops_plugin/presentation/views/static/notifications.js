// Who is told what, and what outside systems may tell.
import { h, may, page, t } from "./core.js";
import { ago } from "./format.js";
import { listPage, listRow } from "./list_page.js";
import { typeTags } from "./notification_words.js";

const row = (config) => listRow(
  [h("a", { href: page(`notifications/${config.name}`) }, config.name), h("span", { class: "sv-small sv-muted" }, config.channel)],
  [[config.enabled ? t("Enabled") : t("Disabled")], [h("code", {}, config.webhook_url ?? "–"), "sv-row-away"], [typeTags(config), "sv-row-away"], [ago(config.updated_at)]]);

await listPage({
  title: t("Notifications"), resource: "notifications/configs", row, none: t("Nobody is told anything yet."),
  heads: [t("Name"), t("State"), t("Address"), t("Tells"), t("Changed")],
  add: may("notification", "create") && h("a", { class: "sv-button sv-primary", href: page("notifications/new") }, t("New notification")),
});
