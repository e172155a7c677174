// The buttons of an appointment, the same in the table and in the dialog of the grid.
import { h } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { clock } from "../common/time.js";
import { sentenceOf } from "./changes.js";
import * as dialogs from "./dialogs.js";

/** @typedef {import("./model.js").Appointment} Appointment */

/** Makes the buttons. `tell` shows a sentence; its second argument says that something was refused. */
export class Actions {
  /** @param {import("./model.js").DayModel} model @param {import("./changes.js").Changes} changes @param {(said: string, refused?: boolean) => void} tell */
  constructor(model, changes, tell) {
    this.model = model;
    this.changes = changes;
    this.tell = tell;
  }

  /** Send a change and tell its outcome; true if it was done. @param {() => Promise<string>} send */
  async run(send) {
    try {
      this.tell(await send());
      return true;
    } catch (error) {
      this.tell(sentenceOf(error), true);
      return false;
    }
  }

  /** @param {import("./dialogs.js").Place} place */
  book = (place) => dialogs.book(this.model, this.changes, place, this.tell);

  /** @param {Appointment} one */
  open = (one) => dialogs.open(this.model, one, this.buttons(one));

  /** Move without a dialog. @param {Appointment} one @param {import("./changes.js").Fields} fields */
  drop = (one, fields) => this.run(() => this.changes.change(one, fields, "moved"));

  /** @param {Appointment} one */
  buttons(one) {
    const { model, changes, tell } = this;
    const state = one.attendance ?? "expected";
    const attend = (/** @type {"arrived" | "missed"} */ kind) =>
      this.#button(kind, one, () => {
        const attendance = state === kind ? "expected" : kind;
        void this.run(() => changes.change(one, { attendance }, attendance));
      }, { "aria-pressed": state === kind });
    return [
      attend("arrived"),
      attend("missed"),
      this.#button("move", one, () => dialogs.move(model, changes, one, tell)),
      this.#button("rename", one, () => dialogs.rename(model, changes, one, tell)),
      this.#button("cancel", one, () => void this.run(() => changes.cancel(one)), { class: "danger" }),
    ];
  }

  /** @param {string} action @param {Appointment} one @param {() => void} onclick @param {Record<string, unknown>} [more] */
  #button(action, one, onclick, more = {}) {
    const whose = `${one.patientName ?? t("noName")}, ${clock(one.slot, this.model.zone)}`;
    const pressed = "aria-pressed" in more ? { "aria-pressed": String(more["aria-pressed"]) } : {};
    return h("button", { type: "button", onclick, "data-focus": `${action} ${one.id}`, ...more, ...pressed },
      t(`action.${action}`), h("span", { class: "unseen" }, ` ${whose}`));
  }
}
