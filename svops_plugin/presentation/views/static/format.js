// How times, numbers and states are written.
import { context, h, say, t } from "./core.js";

const language = context.language.is;
const clock = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" });
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export const STATES = {
  pending: t("Pending"), running: t("Running"), completed: t("Completed"), failed: t("Failed"), cancelled: t("Cancelled"),
  queued: t("Queued"), success: t("Success"), skipped: t("Skipped"), reused: t("Reused"),
  delivered: t("Delivered"),
  // Airflow's own, of its tasks
  none: t("Not begun"), scheduled: t("Scheduled"), deferred: t("Deferred"), restarting: t("Restarting"), removed: t("Removed"),
  upstream_failed: t("Upstream failed"), up_for_retry: t("Up for retry"), up_for_reschedule: t("Up for reschedule"),
};

/** Write a length of time: 8 s, 2 m 5 s, 3 m, 1 h 3 m. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t("{s} s", { s: whole });
  const parts = { h: Math.floor(whole / 3600), m: Math.floor((whole % 3600) / 60), s: whole % 60 };
  if (whole < 3600) return parts.s ? t("{m} m {s} s", parts) : t("{m} m", parts);
  return parts.m ? t("{h} h {m} m", parts) : t("{h} h", parts);
}

/** Return the seconds between two times on the wire; without an end, until now. */
export function between(start, end) {
  return start ? ((end ? Date.parse(end) : Date.now()) - Date.parse(start)) / 1000 : null;
}

/** Return an element that tells how long ago something was, and exactly when on hover. */
export function ago(time) {
  if (!time) return h("span", { class: "sv-muted" }, "–");
  const seconds = (Date.parse(time) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? UNITS[3];
  return h("time", { datetime: time, title: moment(time) }, relative.format(Math.round(seconds / size), unit));
}

export const moment = (time) => (time ? clock.format(new Date(time)) : "–");
export const hour = (time) => short.format(new Date(time));

/** Write a number as it was measured, in four significant digits. */
export function figure(value) {
  if (value === null || value === undefined) return "–";
  return new Intl.NumberFormat(language, { maximumSignificantDigits: 4 }).format(value);
}

export function bytes(size) {
  if (size < 1024) return `${size} B`;
  const kilo = size / 1024;
  return kilo < 1024 ? `${figure(kilo)} KiB` : `${figure(kilo / 1024)} MiB`;
}

/** Return a badge for a state, and let `showState` change it. */
export function stateBadge(state) {
  const badge = h("span", { class: "sv-state" });
  showState(badge, state);
  return badge;
}

export function showState(badge, state) {
  if (badge.dataset.state === state) return;
  badge.dataset.state = state;
  say(badge, STATES[state] ?? state);
}

/** Write a value of a configuration. */
export function plain(value) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "object") return String(value);
  return Object.keys(value).length ? JSON.stringify(value) : "–";
}
