// Why something failed: where, in words, and the end of the log.
import { airflowLink, h, t } from "./core.js";

/** Return the panel of an error; nothing where there is none. */
export function causePanel(error) {
  if (!error) return "";
  const where = [error.dag_id, error.task_id].filter(Boolean).join(" › ");
  return h("div", { class: "sv-panel sv-cause", role: "alert" }, h("h2", {}, where ? t("Failed in {where}", { where }) : t("Failed")),
    h("p", {}, error.message),
    error.log_tail?.length ? h("pre", { class: "sv-log", tabindex: 0, "aria-label": t("The last lines of its log") }, error.log_tail.join("\n")) : "",
    error.log_url ? h("p", {}, airflowLink(error.log_url, t("Open its log in Airflow"))) : "");
}
