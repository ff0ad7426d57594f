// What Airflow 2.11's main.html sets in a script of its own, which the policy of these pages does not let run.
const said = document.currentScript.dataset;
window.Airflow = { serverTimezone: said.serverTimezone, defaultUITimezone: said.defaultTimezone };
window.hostName = said.hostName;
window.csrfToken = said.csrfToken;
