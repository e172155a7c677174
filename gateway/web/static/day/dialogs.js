// The dialogs: book, move, correct a name, and all that can be done with an appointment.
import { Refusal, call, newKey } from "../common/api.js";
import { byId, h } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { clock, dayOf, instantOf, longDate } from "../common/time.js";
import { sentenceOf } from "./changes.js";
import { focusOn, focused } from "./focus.js";
import { endOf } from "./model.js";
import { wallTime } from "./wall.js";
import { stateOf } from "./words.js";

/** @typedef {import("./model.js").Appointment} Appointment */
/** @typedef {import("./model.js").DayModel} DayModel */
/** @typedef {import("./changes.js").Changes} Changes */
/** @typedef {{at: number, resource: string}} Place an instant (Unix ms) and a resource */

let count = 0;

/**
 * Show a dialog. Afterwards, the focus is where it was, or at the appointment whose id the dialog returns, or at the day.
 * @param {HTMLDialogElement} dialog
 */
function show(dialog) {
  const before = focused();
  dialog.addEventListener("close", () => {
    dialog.remove();
    // A click on a gap of the grid focuses the whole page.
    if (![document.body, byId("main")].includes(/** @type {HTMLElement} */ (document.activeElement))) return;
    const id = dialog.returnValue;
    if (!focusOn(before) && !focusOn(`open ${id}`) && !focusOn(`move ${id}`)) byId("day-heading").focus();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Show a dialog with a form; it closes once `submit` is done. If that throws, the dialog shows the sentence.
 * @param {string} title
 * @param {import("../common/dom.js").Child[]} content
 * @param {string} action the words of the button
 * @param {() => Promise<string>} submit returns the id of the appointment
 * @param {(error: Refusal) => Promise<Node[]>} [help] what to offer after a refusal
 */
function showForm(title, content, action, submit, help = async () => []) {
  const id = `dialog-${++count}`;
  const alert = h("div", { role: "alert", class: "error" });
  const send = h("button", { class: "primary" }, action);
  const form = h("form", { method: "dialog" }, h("h2", { id }, title), ...content, alert,
    h("div", { class: "row" }, send, h("button", { type: "button", onclick: () => dialog.close() }, t("back"))));
  const dialog = h("dialog", { "aria-labelledby": id }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    send.disabled = true;
    alert.replaceChildren();
    try {
      dialog.close(await submit());
    } catch (error) {
      alert.replaceChildren(h("p", {}, sentenceOf(error)), ...(error instanceof Refusal ? await help(error) : []));
    } finally {
      send.disabled = false;
    }
  });
  show(dialog);
}

/** @param {string} label @param {HTMLElement} input @param {string} [hint] */
function field(label, input, hint) {
  const id = (input.id = `field-${++count}`);
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("small", { id: `${id}-hint` }, hint));
}

/** Fields for a day, a time and a resource. @param {DayModel} model @param {Place} place @param {{id: string, title: string}[]} resources */
function placeFields(model, place, resources) {
  const date = h("input", { type: "date", required: true, value: dayOf(place.at, model.zone) });
  const time = h("input", { type: "time", required: true, value: wallTime(place.at, model.zone) });
  const options = resources.map(({ id, title }) => h("option", { value: id, selected: id === place.resource }, title));
  const resource = h("select", {}, ...options);
  return {
    date, time, resource,
    nodes: [field(t("date"), date), field(t("time"), time), field(t("resource"), resource)],
    slot: () => new Date(instantOf(date.value, model.zone, time.value)).toISOString(),
    /** @param {string} slot */
    set(slot) {
      date.value = dayOf(slot, model.zone);
      time.value = wallTime(slot, model.zone);
    },
  };
}

/** Offer the next free slot after a refusal of a slot. @param {DayModel} model @param {ReturnType<typeof placeFields>} place @param {() => Record<string, any>} query */
const nextFree = (model, place, query) => async (/** @type {Refusal} */ error) => {
  if (!["SlotAlreadyBooked", "SlotHeld", "SlotNotOffered"].includes(error.type)) return [];
  try {
    const { body } = await call("GET", "next-free", { query: { site: model.site, from: place.slot(), ...query() }, patience: 3 });
    return body.free.map((/** @type {{slot: string}} */ { slot }) => {
      const words = `${longDate(slot, model.zone)}, ${clock(slot, model.zone)}`;
      return h("button", { type: "button", onclick: () => place.set(slot) }, t("takeNext", { slot: words }));
    });
  } catch {
    return [];
  }
};

/** Book at a place. @param {DayModel} model @param {Changes} changes @param {Place} at @param {(said: string) => void} tell */
export function book(model, changes, at, tell) {
  const place = placeFields(model, at, model.bookable);
  const name = h("input", { required: true, maxlength: 200, autocomplete: "off" });
  const contact = h("input", { maxlength: 200, autocomplete: "off" });
  const service = h("select", {});
  const minutes = h("input", { type: "number", min: 1, max: 1440, value: 30, required: true });
  const minutesField = field(t("minutesLong"), minutes);
  const showMinutes = () => (minutesField.hidden = minutes.disabled = service.value !== "");
  const showServices = () => {
    const services = model.schedule(place.resource.value)?.services ?? [];
    const options = services.map(({ id, title, durationMinutes }) => h("option", { value: id }, `${title} (${t("minutes", { count: durationMinutes })})`));
    service.replaceChildren(...options, h("option", { value: "" }, t("noService")));
    showMinutes();
  };
  place.resource.addEventListener("change", showServices);
  service.addEventListener("change", showMinutes);
  showServices();
  const what = () => (service.value ? { service: service.value } : { durationMinutes: Number(minutes.value) });
  // A repeat of the same request has the same key; another request is another booking.
  let last = "", key = "";
  const submit = async () => {
    const wish = {
      slot: place.slot(), resources: [place.resource.value], patientName: name.value,
      ...(contact.value && { contact: contact.value }), ...what(),
    };
    if (JSON.stringify(wish) !== last) [last, key] = [JSON.stringify(wish), newKey()];
    tell(await changes.book(wish, key));
    return changes.changed;
  };
  const content = [field(t("name"), name), field(t("contact"), contact, t("contactHint")), field(t("service"), service), minutesField, ...place.nodes];
  showForm(t("bookTitle"), content, t("book"), submit, nextFree(model, place, () => ({ resource: place.resource.value, ...what() })));
}

/**
 * The part of a dialog that shows an appointment. If somebody else changed it, `renew` draws it anew, so that the
 * person decides again and the next attempt has the new version.
 * @param {Changes} changes
 * @param {Appointment} one
 * @param {(one: Appointment) => import("../common/dom.js").Child[]} draw
 */
function current(changes, one, draw) {
  const node = h("div", {}, ...draw(one));
  const shown = {
    one, node,
    /** @param {Refusal} error */
    async renew(error) {
      if (error.type !== "PreconditionFailed") return;
      try {
        shown.one = await changes.read(one.id);
      } catch (failure) {
        sentenceOf(failure); // The next attempt is refused again, and reads again.
        return;
      }
      node.replaceChildren(...draw(shown.one).filter((child) => child instanceof Node));
      node.querySelector("input")?.focus();
    },
  };
  return shown;
}

/** Move an appointment. @param {DayModel} model @param {Changes} changes @param {Appointment} before @param {(said: string) => void} tell */
export function move(model, changes, before, tell) {
  const minutes = h("input", { type: "number", min: 1, max: 1440, required: true });
  /** @type {ReturnType<typeof placeFields>} */
  let place;
  const shown = current(changes, before, (one) => {
    const main = model.mainResourceOf(one);
    const offered = model.bookable.some(({ id }) => id === main) ? model.bookable : model.resources;
    const choices = offered.filter(({ id }) => id === main || !one.resources.includes(id));
    place = placeFields(model, { at: Date.parse(one.slot), resource: main }, choices);
    minutes.value = String(one.durationMinutes);
    return [describe(model, one), ...place.nodes, one.service ? "" : field(t("minutesLong"), minutes)];
  });
  const submit = async () => {
    const { one } = shown;
    const main = model.mainResourceOf(one);
    const fields = {
      slot: place.slot(),
      resources: one.resources.map((name) => (name === main ? place.resource.value : name)),
      ...(!one.service && { durationMinutes: Number(minutes.value) }),
    };
    tell(await changes.change(one, fields, "moved"));
    return one.id;
  };
  const query = () => ({ resource: place.resource.value, ...(shown.one.service ? { service: shown.one.service } : { durationMinutes: minutes.value }) });
  showForm(t("moveTitle"), [shown.node], t("move"), submit, async (error) => {
    await shown.renew(error);
    return nextFree(model, place, query)(error);
  });
}

/** Correct a name. @param {DayModel} model @param {Changes} changes @param {Appointment} before @param {(said: string) => void} tell */
export function rename(model, changes, before, tell) {
  const name = h("input", { required: true, maxlength: 200, autocomplete: "off", value: before.patientName ?? "" });
  // What the person wrote stays beside what somebody else wrote.
  const shown = current(changes, before, (one) => [describe(model, one), field(t("name"), name)]);
  const submit = async () => {
    tell(await changes.change(shown.one, { patientName: name.value }, "renamed"));
    return shown.one.id;
  };
  showForm(t("renameTitle"), [shown.node], t("rename"), submit, async (error) => {
    await shown.renew(error);
    return [];
  });
}

/** Show an appointment and all that can be done with it. @param {DayModel} model @param {Appointment} one @param {HTMLElement[]} actions */
export function open(model, one, actions) {
  const id = `dialog-${++count}`;
  const close = h("button", { onclick: () => dialog.close() }, t("back"));
  for (const action of actions) action.addEventListener("click", () => dialog.close(), { capture: true });
  const dialog = h("dialog", { "aria-labelledby": id },
    h("h2", { id }, one.patientName ?? t("noName")), describe(model, { ...one, patientName: undefined }), h("div", { class: "row actions" }, ...actions, close));
  show(dialog);
}

/** @param {DayModel} model @param {Appointment} one */
function describe(model, one) {
  const service = model.serviceOf(one)?.title ?? t("minutes", { count: one.durationMinutes });
  /** @type {[string, string | undefined][]} */
  const rows = [
    ["name", one.patientName],
    ["time", `${clock(one.slot, model.zone)}–${clock(endOf(one), model.zone)}`],
    ["resource", one.resources.map(model.titleOf).join(", ")],
    ["service", service],
    ["contact", one.contact],
    ["state", stateOf(model, one)],
  ];
  return h("dl", {}, ...rows.filter(([, value]) => value).flatMap(([key, value]) => [h("dt", {}, t(key)), h("dd", {}, value)]));
}
