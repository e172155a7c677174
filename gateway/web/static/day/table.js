// The day as a table: every appointment and every gap, with buttons. Its elements have their roles as attributes,
// because browsers drop the roles of tables whose styles are those of narrow screens.
import { h } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { clock, longDate } from "../common/time.js";
import { endOf } from "./model.js";
import { stateOf } from "./words.js";

/** @typedef {import("./model.js").DayModel} DayModel */
/** @typedef {import("./model.js").Appointment} Appointment */

const COLUMNS = ["time", "name", "resource", "service", "contact", "state", "actions"];

/** @param {DayModel} model @param {import("./actions.js").Actions} actions @param {(one: Appointment) => boolean} isShown @param {number} [soon] from when on gaps are shown (Unix ms); undefined: none */
export function makeTable(model, actions, isShown, soon) {
  const appointments = model.appointments.filter(isShown).map((one) => ({ at: Date.parse(one.slot), row: appointmentRow(model, actions, one) }));
  const gaps = soon === undefined ? [] : model.bookable.flatMap(({ id }) => model.gaps(id, soon));
  const held = soon === undefined ? [] : model.held;
  const rows = [
    ...appointments,
    ...gaps.map((gap) => ({ at: gap.from, row: gapRow(model, actions, gap) })),
    ...held.map((span) => ({ at: span.from, row: spanRow(model, span, t("state.held")) })),
  ].sort((one, other) => one.at - other.at);
  const head = h("tr", { role: "row" }, ...COLUMNS.map((name) => h("th", { scope: "col", role: "columnheader", class: name }, t(name))));
  const empty = h("tr", { role: "row" }, h("td", { role: "cell", colspan: COLUMNS.length }, t(soon === undefined ? "noMatch" : "nothing")));
  return h("table", { class: "day-table", role: "table" },
    h("caption", {}, longDate(model.window.from, model.zone)),
    h("thead", { role: "rowgroup" }, head), h("tbody", { role: "rowgroup" }, ...(rows.length ? rows.map(({ row }) => row) : [empty])));
}

/** @param {DayModel} model @param {import("./actions.js").Actions} actions @param {Appointment} one */
function appointmentRow(model, actions, one) {
  const state = one.attendance ?? "expected";
  return h("tr", { role: "row", class: state, "data-appointment": one.id },
    h("th", { role: "rowheader", scope: "row" }, times(model, Date.parse(one.slot), endOf(one))),
    cell("name", one.patientName ?? t("noName")),
    cell("resource", one.resources.map(model.titleOf).join(", ")),
    cell("service", model.serviceOf(one)?.title ?? t("minutes", { count: one.durationMinutes })),
    cell("contact", one.contact ?? ""),
    cell("state", stateOf(model, one)),
    h("td", { role: "cell", class: "actions" }, h("div", { class: "row" }, ...actions.buttons(one))));
}

/** @param {DayModel} model @param {import("./actions.js").Actions} actions @param {import("./model.js").Span} gap */
function gapRow(model, actions, gap) {
  const label = ` ${times(model, gap.from, gap.to)}, ${model.titleOf(gap.resource)}`;
  const book = h("button", { type: "button", "data-focus": `book ${gap.resource} ${gap.to}`, onclick: () => actions.book({ at: gap.from, resource: gap.resource }) },
    t("action.book"), h("span", { class: "unseen" }, label));
  return spanRow(model, gap, t("state.free"), book);
}

/** @param {DayModel} model @param {import("./model.js").Span} span @param {string} state @param {Node} [action] */
function spanRow(model, span, state, action) {
  return h("tr", { role: "row", class: "gap" },
    h("th", { role: "rowheader", scope: "row" }, times(model, span.from, span.to)),
    cell("name", ""), cell("resource", model.titleOf(span.resource)), cell("service", ""), cell("contact", ""), cell("state", state),
    h("td", { role: "cell", class: "actions" }, action));
}

/** @param {string} name @param {string} text */
const cell = (name, text) => h("td", { role: "cell", class: name, "data-label": text && t(name) }, text);

/** @param {DayModel} model @param {number} from @param {number} to */
const times = (model, from, to) => `${clock(from, model.zone)}–${clock(to, model.zone)}`;
