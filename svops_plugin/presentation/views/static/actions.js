// What can be done with a task, from whichever page.
import { api, ask, context, h, may, t } from "./core.js";
import { jsonField } from "./fields.js";

export const CALLS = {
  execute: (id, body = {}) => api(`tasks/${id}/execute`, { method: "POST", body }),
  stop: (id) => api(`tasks/${id}/stop`, { method: "POST" }),
  retry: (id) => api(`tasks/${id}/retry`, { method: "POST", body: {} }),
  again: (id) => api(`tasks/${id}/retry`, { method: "POST", body: { from: "start" } }),
};
export const WORDS = { execute: t("Execute"), stop: t("Stop"), retry: t("Retry"), again: t("Retry all") };

/** Return what a task in a state offers first. */
export function offers(status) {
  if (status === "running") return ["stop"];
  return status === "failed" || status === "cancelled" ? ["retry", "execute"] : ["execute"];
}

/** Ask for parameters and a note, and execute; resolves with the answer, or nothing if it was thought better of. */
export async function executeWithForm(task) {
  const note = h("textarea", { id: "sv-note", maxlength: 10000 });
  const parameters = jsonField("parameters", t("Parameters"), {});
  const content = h("div", { class: "sv-stack" },
    h("div", { class: "sv-field" }, h("label", { for: "sv-note" }, t("Note")), note), parameters.element);
  let started;
  await ask(t("Execute {name}", { name: task.name }), content, {
    agree: t("Execute"),
    ready: async () => {
      if (!parameters.valid()) return false;
      started = await CALLS.execute(task.id, { note: note.value, parameters: parameters.value() });
      return true;
    },
  });
  return started;
}

/** Return what may be done with a run of a workflow; one that is a step is controlled with its chain. */
export function controlsOf(run) {
  const own = run.trigger_type === "api" && run.triggered_by === context.user.username;
  const mine = !context.owns_only || own;
  if (run.position !== null || !may("workflow", "execute") || !mine) return [];
  return { queued: ["stop"], running: ["stop"], failed: ["retry"], cancelled: ["retry"] }[run.status] ?? [];
}

/** Ask for a note, and stop a run or run it again; resolves with the run, or nothing if it was thought better of. */
export async function controlRun(run, action) {
  const note = h("textarea", { id: "sv-note", maxlength: 10000, value: run.note });
  const words = { stop: t("Stop {id}?", { id: run.id }), retry: t("Run {id} again?", { id: run.id }) };
  let answered;
  await ask(words[action], h("div", { class: "sv-field" }, h("label", { for: "sv-note" }, t("Note")), note), {
    agree: WORDS[action], danger: action === "stop",
    ready: async () => {
      const path = `workflows/${run.workflow_id}/runs/${run.id}/control`;
      answered = await api(path, { method: "POST", body: { action, note: note.value } });
    },
  });
  return answered;
}

/** Ask before a chain is stopped. */
export function stopAfterAsking(names) {
  const content = h("p", {}, t("Running processes are ended and later steps do not start: {names}", { names }));
  return ask(t("Stop?"), content, { agree: t("Stop"), danger: true });
}
