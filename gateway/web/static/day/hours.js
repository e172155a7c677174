// The editor of opening hours and services. The service checks; what is wrong stands at the field that it names.
import { Refusal, call, readAll } from "../common/api.js";
import { announce, h } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { clock, dayOf, longDate } from "../common/time.js";
import { sentenceOf } from "./changes.js";
import { DAYS, dayName, wordsFor } from "./wrong_hours.js";

/** @typedef {import("./model.js").DayModel} DayModel */
/** @typedef {import("./model.js").Schedule} Schedule */

const NEW = { title: "", timeZone: "", weekly: [{ days: DAYS.slice(0, 5), from: "09:00", to: "17:00" }], services: [], exceptions: [], stepMinutes: 15, leadMinutes: 0, enforced: false };
const NUMBERS = ["stepMinutes", "leadMinutes", "horizonDays", "cutOffMinutes"];

/** Show the editor. @param {HTMLElement} section @param {DayModel} model @param {string} [chosen] a resource */
export function showHours(section, model, chosen = model.schedules[0]?.resource) {
  const choice = h("select", { onchange: () => place.replaceChildren(editor(section, model, model.schedule(choice.value))) },
    ...model.schedules.map(({ resource, title }) => h("option", { value: resource, selected: resource === chosen }, `${title} (${resource})`)),
    h("option", { value: "", selected: !chosen }, t("newResource")));
  const place = h("div", {}, editor(section, model, model.schedule(chosen ?? "")));
  section.replaceChildren(h("h2", {}, t("part.hours")), field(t("resource"), choice), place);
}

/** @param {HTMLElement} section @param {DayModel} model @param {Schedule} [schedule] undefined: a new one */
function editor(section, model, schedule) {
  const { site, resource = "", version, ...stored } = schedule ?? { ...NEW, site: "", resource: "", version: undefined, timeZone: model.zone };
  const name = h("input", { required: true, maxlength: 64, pattern: "[A-Za-z0-9._\\-]+", value: resource, readonly: resource !== "" });
  const title = named("title", { required: true, maxlength: 200, value: stored.title });
  const zone = named("timeZone", { required: true, list: "zones", value: stored.timeZone });
  const weekly = rows("weekly", stored.weekly, () => ({ days: [], from: "09:00", to: "17:00" }), weeklyRow);
  const exceptions = rows("exceptions", stored.exceptions ?? [], () => ({ date: dayOf(Date.now(), model.zone) }), exceptionRow);
  const services = rows("services", stored.services ?? [], () => ({ id: "", title: "", durationMinutes: 30 }), serviceRow);
  const numbers = NUMBERS.map((key) => named(key, { type: "number", min: 0, value: /** @type {any} */ (stored)[key] ?? "" }));
  const enforced = named("enforced", { type: "checkbox", checked: stored.enforced });
  const alert = h("div", { role: "alert", class: "error", id: "hours-error" });
  const save = h("button", { class: "primary" }, t("save"));
  let known = version;
  const read = () => ({
    ...stored, title: title.value, timeZone: zone.value, weekly: weekly.read(), exceptions: exceptions.read(), services: services.read(),
    ...Object.fromEntries(NUMBERS.map((key, number) => [key, numbers[number].value === "" ? undefined : Number(numbers[number].value)])),
    enforced: enforced.checked,
  });
  /** After a change by somebody else: save over it, or look at it. Returns the version that the next save replaces. */
  const offerNewest = async () => {
    const newest = h("button", { type: "button", onclick: () => showHours(section, model, name.value) }, t("readAgain"));
    try {
      await model.readSchedules();
    } catch (error) {
      showError(form, alert, error);
      return known;
    }
    alert.append(h("p", {}, t("hoursChanged")), newest);
    newest.focus();
    return model.schedule(name.value)?.version;
  };
  const form = h("form", { class: "hours", onsubmit: async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (save.disabled) return;
    save.disabled = true;
    clearErrors(form, alert);
    try {
      if (known === undefined && model.schedule(name.value)) {
        known = await offerNewest(); // a new name that exists already
        return;
      }
      await call("PUT", `schedules/${model.site}/${name.value}`, { body: read(), version: known });
      await model.readSchedules();
      showHours(section, model, name.value);
      void model.refresh();
      announce(t("saved"));
      section.append(h("div", { class: "note", tabindex: -1 }, h("p", {}, t("saved")), await conflicts(model, name.value)));
      /** @type {HTMLElement} */ (section.lastElementChild).focus();
    } catch (error) {
      if (error instanceof Refusal && error.status === 412) known = await offerNewest();
      else showError(form, alert, error);
    } finally {
      save.disabled = false;
    }
  } },
  h("datalist", { id: "zones" }, ...Intl.supportedValuesOf("timeZone").map((value) => h("option", { value }))),
  h("div", { class: "fields" }, field(t("resourceId"), name), field(t("title.field"), title), field(t("timeZone"), zone)),
  weekly.node, exceptions.node, services.node,
  h("fieldset", {}, h("legend", {}, t("rules")),
    h("div", { class: "fields" }, ...NUMBERS.map((key, number) => field(t(`rule.${key}`), numbers[number]))),
    h("label", { class: "check" }, enforced, " ", t("rule.enforced"))),
  alert, h("div", { class: "row" }, save));
  return form;
}

/** @param {string} label @param {HTMLElement} input */
const field = (label, input) => h("label", { class: "field" }, label, input);

/** An input that a sentence of the service can name. @param {string} name @param {Record<string, unknown>} properties */
const named = (name, properties) => h("input", { ...properties, "data-name": name });

/**
 * A list of rows, which can be removed and added.
 * @template T
 * @param {string} name
 * @param {T[]} values
 * @param {() => T} fresh
 * @param {(value: T, key: string) => {nodes: import("../common/dom.js").Child[], read: () => unknown}} makeRow
 */
function rows(name, values, fresh, makeRow) {
  /** @type {{read: () => unknown, node: HTMLElement}[]} */
  let current = [];
  const items = h("ol", { class: "rows", role: "list" });
  const add = (/** @type {T} */ value) => {
    const { nodes, read } = makeRow(value, name);
    const remove = h("button", { type: "button", class: "quiet", onclick: () => {
      current = current.filter((other) => other !== row);
      row.node.remove();
      more.focus();
    } }, t("remove"), h("span", { class: "unseen" }, ` ${t(name)}`));
    const row = { read, node: h("li", { class: "row" }, ...nodes, remove) };
    current.push(row);
    items.append(row.node);
    return row;
  };
  const more = h("button", { type: "button", onclick: () => {
    const focusable = add(fresh()).node.querySelector("input, select");
    if (focusable instanceof HTMLElement) focusable.focus();
  } }, t(`add.${name}`));
  for (const value of values) add(value);
  return { node: h("fieldset", { "data-name": name, tabindex: -1 }, h("legend", {}, t(name)), items, more), read: () => current.map((row) => row.read()) };
}

/** @param {any} value */
function weeklyRow(value) {
  const boxes = DAYS.map((day) => {
    const box = h("input", { type: "checkbox", checked: value.days.includes(day), "aria-label": dayName(day, "long") });
    return { day, box, label: h("label", { class: "check" }, box, " ", dayName(day, "short")) };
  });
  const hours = span(value);
  return {
    nodes: [h("span", { class: "row days", role: "group", "aria-label": t("days") }, ...boxes.map(({ label }) => label)), ...hours.nodes],
    read: () => ({ days: boxes.filter(({ box }) => box.checked).map(({ day }) => day), ...hours.read() }),
  };
}

/** A begin and an end. The end of a day is 24:00, which no field for times has: it is shown as 00:00. @param {{from: string, to: string}} value */
function span({ from, to }) {
  const begin = h("input", { type: "time", required: true, value: from, "aria-label": t("from"), "data-name": "from" });
  const end = h("input", { type: "time", required: true, value: to === "24:00" ? "00:00" : to, "aria-label": t("to"), "data-name": "to" });
  return { nodes: [begin, "–", end], read: () => ({ from: begin.value, to: end.value === "00:00" ? "24:00" : end.value }) };
}

/** @param {any} value */
function exceptionRow(value) {
  const kind = h("select", { "aria-label": t("kind"), onchange: show }, h("option", { value: "date", selected: !value.holidays }, t("kind.date")), h("option", { value: "holidays", selected: Boolean(value.holidays) }, t("kind.holidays")));
  const date = h("input", { type: "date", value: value.date, "aria-label": t("date"), "data-name": "date" });
  const country = h("input", { size: 4, maxlength: 2, value: value.holidays, "aria-label": t("country"), placeholder: "DE", "data-name": "holidays" });
  const part = h("input", { size: 4, maxlength: 10, value: value.subdivision, "aria-label": t("subdivision"), placeholder: "HH", "data-name": "subdivision" });
  const text = (value.hours ?? []).map((/** @type {{from: string, to: string}} */ one) => `${one.from}-${one.to}`).join(", ");
  const hours = h("input", { value: text, pattern: "(\\s*\\d\\d:\\d\\d\\s*[-–]\\s*\\d\\d:\\d\\d\\s*(,|$))*", "aria-label": t("hoursText"), placeholder: t("closed"), "data-name": "hours" });
  function show() {
    date.hidden = kind.value !== "date";
    country.hidden = part.hidden = kind.value === "date";
    date.required = !date.hidden;
    country.required = !country.hidden;
  }
  show();
  return {
    nodes: [kind, date, country, part, hours],
    read: () => ({
      ...(kind.value === "date" ? { date: date.value } : { holidays: country.value, ...(part.value && { subdivision: part.value }) }),
      hours: [...hours.value.matchAll(/(\d\d:\d\d)\s*[-–]\s*(\d\d:\d\d)/g)].map(([, from, to]) => ({ from, to })),
    }),
  };
}

/** @param {any} value */
function serviceRow(value) {
  const input = (/** @type {string} */ name, /** @type {Record<string, unknown>} */ properties = {}) =>
    h("input", { value: value[name], "data-name": name, ...properties });
  const minutes = { type: "number", min: 0, max: 1440, class: "short" };
  const id = input("id", { required: true, maxlength: 64, size: 12 });
  const title = input("title", { required: true, maxlength: 200 });
  const duration = input("durationMinutes", { ...minutes, min: 1, required: true });
  const before = input("bufferBefore", { ...minutes, value: value.bufferBefore ?? 0 });
  const after = input("bufferAfter", { ...minutes, value: value.bufferAfter ?? 0 });
  const needs = input("resources", { value: (value.resources ?? []).join(", ") });
  const small = (/** @type {string} */ key, /** @type {HTMLElement} */ field) => h("label", { class: "small" }, t(`service.${key}`), field);
  return {
    nodes: [small("id", id), small("title", title), small("duration", duration), small("before", before), small("after", after), small("needs", needs)],
    read() {
      const resources = needs.value.split(",").map((part) => part.trim()).filter(Boolean);
      return {
        ...value, id: id.value, title: title.value, durationMinutes: Number(duration.value),
        bufferBefore: Number(before.value), bufferAfter: Number(after.value), resources: resources.length ? resources : undefined,
      };
    },
  };
}

/** @param {HTMLFormElement} form @param {HTMLElement} alert */
function clearErrors(form, alert) {
  alert.replaceChildren();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

/** Show the sentence, and go to the field that it begins with: `weekly[1].to must be …`. @param {HTMLFormElement} form @param {HTMLElement} alert @param {unknown} error */
function showError(form, alert, error) {
  const sentence = sentenceOf(error);
  alert.append(h("p", {}, wordsFor(error) ?? sentence));
  /** @type {Element} */
  let place = form;
  for (const [, name, number] of (sentence.split(" ")[0] ?? "").matchAll(/([A-Za-z]+)(?:\[(\d+)\])?/g)) {
    /** @type {Element | null} */
    const inner = place.querySelector(`[data-name="${name}"]`);
    if (!inner) break;
    place = number === undefined ? inner : (inner.querySelectorAll(":scope > ol > li")[Number(number)] ?? inner);
  }
  if (place === form) return;
  const target = place.matches("input, fieldset") ? place : (place.querySelector("input") ?? place);
  if (target.matches("input")) target.setAttribute("aria-invalid", "true");
  target.setAttribute("aria-describedby", alert.id);
  if (target instanceof HTMLElement) target.focus();
}

/** The bookings that the hours leave outside. @param {DayModel} model @param {string} resource */
async function conflicts(model, resource) {
  /** @type {import("./model.js").Appointment[]} */
  const outside = await readAll(`schedules/${model.site}/${resource}/conflicts`, "appointments");
  if (!outside.length) return h("p", {}, t("noConflicts"));
  const rows = outside.map((one) => {
    const href = `?date=${dayOf(one.slot, model.zone)}#day`;
    return h("li", {}, h("a", { href }, `${longDate(one.slot, model.zone)}, ${clock(one.slot, model.zone)}`), ` ${one.patientName ?? t("noName")}`);
  });
  return h("div", {}, h("p", {}, t("conflicts", { count: outside.length })), h("ul", {}, ...rows));
}
