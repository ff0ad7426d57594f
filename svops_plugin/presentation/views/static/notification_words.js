// What the pages of notifications share: the types in words, and the secret that is shown once.
import { ask, h, t } from "./core.js";

export const TYPES = {
  workflow_started: t("A DAG has started"), workflow_completed: t("A DAG has completed"), workflow_failed: t("A DAG has failed"),
  workflow_stopped: t("A DAG was stopped"), task_completed: t("A task has completed"), task_failed: t("A task has failed"),
  task_cancelled: t("A task was cancelled"), system_error: t("SVOps has a problem"),
};

/** Return what a notification tells, as tags. */
export function typeTags({ notification_types }) {
  return notification_types.map((type) => h("span", { class: "sv-tag" }, TYPES[type] ?? type));
}

/** Show a secret, and resolve when it was taken note of. */
export function showSecret(secret) {
  return ask(t("Keep this secret"), h("div", { class: "sv-stack" },
    h("p", {}, t("Messages are signed with it. It is shown this once.")), h("code", { "data-secret": true }, secret)));
}
