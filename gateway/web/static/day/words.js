// Words about an appointment that the table, the grid and the dialogs share.
import { t } from "../common/i18n.js";

/** Its state, and whether it lies outside the opening hours. @param {import("./model.js").DayModel} model @param {import("./model.js").Appointment} one */
export const stateOf = (model, one) => [t(`state.${one.attendance ?? "expected"}`), ...outside(model, one)].join(", ");

/** The words for the grid, where a patient who is expected needs none. @param {import("./model.js").DayModel} model @param {import("./model.js").Appointment} one */
export const briefly = (model, one) => [...(one.attendance ? [t(`state.${one.attendance}`)] : []), ...outside(model, one)].join(", ");

/** @param {import("./model.js").DayModel} model @param {import("./model.js").Appointment} one */
const outside = (model, one) => (model.isOutside(one) ? [t("state.outside")] : []);
