// The wall clock of a zone as fields and calendars want it.
import { dayOf, format } from "../common/time.js";

/** The time as fields have it, such as "09:30". @param {string | number} instant @param {string} zone */
export const wallTime = (instant, zone) => format(instant, zone, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, "en-GB");

/** Date and time, such as "2030-01-07T09:30". @param {string | number} instant @param {string} zone */
export const wallOf = (instant, zone) => `${dayOf(instant, zone)}T${wallTime(instant, zone)}`;
