// The receptionist's day (`/day/{site}`), and the opening hours of the site (`#hours`).
import { NoAnswer, Refusal, apiKey } from "../common/api.js";
import { announce, byId, h, meta, nameInPath } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { recall, remember } from "../common/session.js";
import { addDays, dayOf, instantOf, longDate } from "../common/time.js";
import { Actions } from "./actions.js";
import { Changes } from "./changes.js";
import { focusOn, focused } from "./focus.js";
import { Grid } from "./grid.js";
import { showHours } from "./hours.js";
import { askKey } from "./key.js";
import { DayModel } from "./model.js";
import { makeTable } from "./table.js";

/** @typedef {import("./model.js").Appointment} Appointment */

const STEP_MS = 5 * 60000;
const NARROW = matchMedia("(max-width: 60rem)");
const main = byId("main");
const site = nameInPath();
const model = new DayModel(site);
const changes = new Changes(model);
const actions = new Actions(model, changes, tell);

const message = h("p", { role: "status", class: "message" });
const stale = h("p", { class: "note warn", hidden: true }, t("stale"));
const heading = h("h2", { tabindex: -1 });
const date = h("input", { type: "date", "aria-label": t("date"), onchange: () => date.value && void go(date.value) });
const filter = h("input", { type: "search", autocomplete: "off", oninput: render });
const found = h("span", { class: "soft", role: "status" });
const undo = h("button", { type: "button", onclick: () => void actions.run(() => changes.undo()) }, t("undo"));
const views = { table: button(t("view.table"), () => choose("table")), grid: button(t("view.grid"), () => choose("grid")) };
const table = h("div", { class: "table-view" });
const gridElement = h("div", { class: "grid-view", role: "group", "aria-label": t("view.grid") });
/** @type {Grid | undefined} */
let grid;
/** @type {"table" | "grid"} */
let view = recall("day-view") === "table" || NARROW.matches ? "table" : "grid";

const section = h("section", { "aria-labelledby": "day-heading" },
  h("div", { class: "toolbar row" },
    button("‹", () => go(addDays(model.date, -1)), { "aria-label": t("before") }),
    button(t("today"), () => go(dayOf(Date.now(), model.zone))),
    button("›", () => go(addDays(model.date, 1)), { "aria-label": t("after") }),
    date,
    button(t("new"), () => actions.book(nextPlace()), { class: "primary" }),
    undo,
    h("div", { role: "group", "aria-label": t("view"), class: "row views" }, views.grid, views.table),
    button(t("print"), () => print())),
  h("div", { class: "row filter" }, h("label", {}, t("filter"), " ", filter), found),
  heading, stale, message, gridElement, table);
heading.id = "day-heading";
const hours = h("section", { hidden: true });

model.addEventListener("change", render);
model.addEventListener("failed", (event) => {
  stale.hidden = false;
  const error = /** @type {CustomEvent} */ (event).detail;
  if (error instanceof Refusal && (error.status === 401 || error.status === 403)) void start(error);
});
changes.addEventListener("change", showUndo);
changes.addEventListener("waiting", (event) => {
  // Behind an open dialog, nothing is read.
  const place = document.querySelector("dialog[open] [role=alert]") ?? message;
  place.textContent = t(/** @type {CustomEvent} */ (event).detail);
});
addEventListener("hashchange", showPart);

/** @param {string} words @param {() => void} onclick @param {Record<string, unknown>} [more] */
function button(words, onclick, more = {}) {
  return h("button", { type: "button", onclick, ...more }, words);
}

/** @param {string} said @param {boolean} [refused] */
function tell(said, refused = false) {
  message.textContent = said;
  message.classList.toggle("error", refused);
}

function showUndo() {
  undo.setAttribute("aria-disabled", String(!changes.undoable));
  undo.title = changes.undoable ?? "";
}

/** @param {"table" | "grid"} chosen */
function choose(chosen) {
  view = chosen;
  remember("day-view", chosen);
  render();
}

/** @param {string} chosen */
async function go(chosen) {
  const url = new URL(location.href);
  url.searchParams.set("date", chosen);
  history.replaceState(null, "", url);
  tell("");
  date.value = chosen;
  const shown = model.show(chosen);
  heading.textContent = longDate(model.window.from, model.zone);
  announce(heading.textContent);
  await shown;
}

const soon = () => Math.ceil(Date.now() / STEP_MS) * STEP_MS;

/** The place that the dialog begins with: the next gap of the day. */
function nextPlace() {
  const gaps = model.bookable.flatMap(({ id }) => model.gaps(id, soon()));
  const [first] = gaps.sort((one, other) => one.from - other.from);
  return first ? { at: first.from, resource: first.resource } : { at: instantOf(model.date, model.zone, "09:00"), resource: model.bookable[0].id };
}

/** A name without case and accents, so that MULLER finds Müller. @param {string} name */
const folded = (name) => name.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase().replaceAll("ß", "ss");

let shown = "";

function render() {
  stale.hidden = model.isCurrent;
  // Elements that are replaced lose a click that is under way.
  const { date: day, zone, schedules, openings, appointments, held } = model;
  const now = JSON.stringify([day, zone, schedules, openings, appointments, held, filter.value, view, soon()]);
  if (now === shown) return;
  shown = now;
  showDay();
}

function showDay() {
  const wanted = folded(filter.value.trim());
  const isShown = (/** @type {Appointment} */ one) => !wanted || folded(one.patientName ?? "").includes(wanted);
  found.textContent = wanted ? t("found", { count: model.appointments.filter(isShown).length }) : "";
  for (const [name, chooser] of Object.entries(views)) chooser.setAttribute("aria-pressed", String(name === view));
  const before = focused(table);
  table.replaceChildren(makeTable(model, actions, isShown, wanted ? undefined : soon()));
  if (before && !focusOn(before, table)) heading.focus();
  section.dataset.view = view;
  if (view === "grid") {
    grid ??= new Grid(gridElement, model, actions);
    grid.render(isShown);
  }
}

function showPart() {
  const isHours = location.hash === "#hours";
  section.hidden = isHours;
  hours.hidden = !isHours;
  for (const link of main.querySelectorAll("nav a")) {
    const current = /** @type {HTMLAnchorElement} */ (link).hash === (isHours ? "#hours" : "#day");
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (isHours) showHours(hours, model);
}

let isAsking = false;

/** @param {unknown} [refusal] why the last key was not enough */
async function start(refusal) {
  // The day is read again meanwhile: a refusal of that is no reason to begin the form anew.
  if (isAsking) return;
  try {
    // The publishable key of the pages reads no names.
    if (refusal || (meta("api-key") && apiKey() === meta("api-key"))) {
      isAsking = true;
      await askKey(main, refusal);
      isAsking = false;
    }
    await model.readSchedules();
    main.replaceChildren(
      h("header", { class: "row" }, h("h1", {}, t("heading", { site })),
        h("nav", { "aria-label": t("parts"), class: "row" }, h("a", { href: "#day" }, t("part.day")), h("a", { href: "#hours" }, t("part.hours")))),
      section, hours);
    showUndo();
    showPart();
    const asked = new URLSearchParams(location.search).get("date") ?? "";
    await go(/^\d{4}-\d\d-\d\d$/.test(asked) ? asked : dayOf(Date.now(), model.zone));
  } catch (error) {
    if (error instanceof Refusal && (error.status === 401 || error.status === 403)) return start(error);
    if (!(error instanceof Refusal || error instanceof NoAnswer)) throw error;
    main.append(h("p", { class: "note bad", role: "alert" }, t("failed"), " ", button(t("again"), () => location.reload())));
  }
}

void start();
