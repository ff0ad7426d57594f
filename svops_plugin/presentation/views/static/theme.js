// Before anything is painted: the theme of the Airflow around, else the one that the reader's system has.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const stored = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage may be closed to a page in a frame
    }
  };
  const dark = () => {
    const three = stored("theme"); // Airflow 3: light, dark or system
    if (three === "light" || three === "dark") return three === "dark";
    const two = stored("darkTheme"); // Airflow 2.11: true or false
    if (two === "true" || two === "false") return two === "true";
    return system.matches;
  };
  const apply = () => {
    document.documentElement.dataset.svTheme = dark() ? "dark" : "light";
  };
  apply();
  addEventListener("storage", apply); // the page around has changed it
  system.addEventListener("change", apply);
  new MutationObserver(apply).observe(document.documentElement, { attributeFilter: ["data-color-scheme"] });
})();
