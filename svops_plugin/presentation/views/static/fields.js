// Fields of forms: each with its label, its hint, and its error beside it.
import { attempt, h, pausing, say, t } from "./core.js";

/** Return a field: its element, what is in it, and how to show what is wrong with it. */
export function field(name, label, { input, hint = "", wide = false, required = false } = {}) {
  const id = `sv-${name}`;
  input ??= h("input", { autocomplete: "off" });
  input.id = id;
  input.name = name;
  if (required) input.required = true;
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const error = h("span", { class: "sv-error", id: `${id}-error`, role: "alert" });
  const said = h("span", { class: "sv-hint", id: `${id}-hint` }, hint);
  const check = input.type === "checkbox";
  const element = h("div", { class: `sv-field${wide ? " sv-wide" : ""}${check ? " sv-check" : ""}` },
    check ? h("label", {}, input, label) : [h("label", { for: id }, required ? `${label} *` : label), input], said, error);
  const refuse = (text) => {
    say(error, text);
    input.setAttribute("aria-invalid", text ? "true" : "false");
  };
  input.addEventListener("input", () => refuse(""));
  return {
    name, input, element, refuse, hint: said,
    value: () => (check ? input.checked : input.value.trim()),
    put: (value) => (check ? (input.checked = Boolean(value)) : write(input, String(value ?? ""))),
  };
}

/** Put a value into an input; what a list of choices lacks becomes one, or saving would lose it. */
function write(input, value) {
  if (input.tagName === "SELECT" && ![...input.options].some((one) => one.value === value)) input.append(h("option", { value }, value));
  input.value = value;
}

/** Return the field of tags. */
export function tagsField() {
  const made = field("tags", t("Tags"), { hint: t("Separated by commas.") });
  return {
    ...made,
    value: () => made.input.value.split(",").map((tag) => tag.trim()).filter(Boolean),
    text: () => made.input.value,
    put: (tags) => (made.input.value = Array.isArray(tags) ? tags.join(", ") : tags ?? ""),
  };
}

/** Return a field whose value is one of many; `search` resolves to those that fit a text, as `[value, words]`. */
export function searchField(name, label, search, options = {}) {
  const list = h("datalist", { id: `sv-${name}-list` });
  const input = h("input", { list: list.id, autocomplete: "off" });
  const made = field(name, label, { ...options, input });
  const look = async () => {
    const text = input.value.trim();
    const found = await attempt(() => search(text));
    if (found && input.value.trim() === text) list.replaceChildren(...found.map(([value, words]) => h("option", { value }, words)));
  };
  input.addEventListener("input", pausing(look, 200));
  input.addEventListener("focus", look, { once: true });
  made.element.append(list);
  return made;
}

/** Return a field for a JSON object that is checked while it is typed. */
export function jsonField(name, label, value, options = {}) {
  return parsed(name, label, {
    ...options,
    read: (text) => {
      const found = text ? JSON.parse(text) : {};
      if (found === null || typeof found !== "object" || Array.isArray(found)) throw new Error(t("An object is expected, as in {…}."));
      return found;
    },
    write: (object) => (Object.keys(object ?? {}).length ? JSON.stringify(object, null, 2) : ""),
  }, value);
}

/** Return a field for the sections of an INI file, checked while it is typed. */
export function iniField(name, label, value, options = {}) {
  return parsed(name, label, { ...options, read: readIni, write: writeIni }, value);
}

function parsed(name, label, { read, write, hint, placeholder }, value) {
  const input = h("textarea", { class: "sv-code", spellcheck: "false", rows: 6, placeholder });
  const made = field(name, label, { input, hint, wide: true });
  const valid = () => {
    try {
      read(input.value.trim());
      made.refuse("");
      return true;
    } catch (failure) {
      made.refuse(failure.message);
      return false;
    }
  };
  input.addEventListener("input", valid);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Tab" || event.shiftKey || !input.value) return;
    event.preventDefault(); // two spaces, as in the text that is there; Shift+Tab leaves the field
    input.setRangeText("  ", input.selectionStart, input.selectionEnd, "end");
  });
  const put = (object) => (input.value = typeof object === "string" ? object : write(object));
  put(value);
  return { ...made, valid, put, value: () => read(input.value.trim()), text: () => input.value };
}

function readIni(text) {
  const sections = {};
  let section = null;
  text.split("\n").forEach((line, index) => {
    const bare = line.trim();
    if (!bare || bare.startsWith("#") || bare.startsWith(";")) return;
    const heading = bare.match(/^\[(.+)\]$/);
    const equals = bare.indexOf("=");
    if (heading) section = sections[heading[1].trim()] ??= {};
    else if (section && equals > 0) section[bare.slice(0, equals).trim()] = bare.slice(equals + 1).trim();
    else throw new Error(t("Line {n}: [section] or key = value is expected.", { n: index + 1 }));
  });
  return sections;
}

function writeIni(sections) {
  return Object.entries(sections ?? {}).map(([name, keys]) =>
    [`[${name}]`, ...Object.entries(keys).map(([key, value]) => `${key} = ${value}`)].join("\n")).join("\n\n");
}
