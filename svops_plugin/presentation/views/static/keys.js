// The keyboard on a list: j and k move, Enter opens, x selects, / searches, ? helps.

/** Attach the keys to the rows of a table body. */
export function attachKeys({ rows, search, open, select, help }) {
  const current = () => rows.querySelector("[data-current]");
  const move = (way) => {
    const next = current() ? current()[way > 0 ? "nextElementSibling" : "previousElementSibling"] : rows.firstElementChild;
    if (!next) return;
    current()?.removeAttribute("data-current");
    next.setAttribute("data-current", "");
    next.focus();
  };
  const keys = {
    j: () => move(1), k: () => move(-1), Enter: () => current() && open(current()), x: () => current() && select(current()),
    "/": () => search.focus(), "?": help,
  };
  document.addEventListener("keydown", (event) => {
    if (event.target === search && event.key === "Escape") search.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    if (event.key === "Enter" && event.target.closest("a, button")) return; // has a meaning of its own there
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
}
