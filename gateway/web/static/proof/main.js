// A race to look at (`/proof`): many rivals ask for one slot, and one of them gets it.
import { NoAnswer, Refusal, apiKey, call, newKey, readAll } from "../common/api.js";
import { byId, h, meta } from "../common/dom.js";
import { t } from "../common/i18n.js";
import { sentenceOf } from "../day/changes.js";
import { askKey } from "../day/key.js";

const CHOICES = [10, 25, 50, 100];
const DAY_MS = 864e5;
const main = byId("main");

const rivals = h("select", {}, ...CHOICES.map((count) => h("option", { value: count, selected: count === 50 }, String(count))));
const start = h("button", { class: "primary" }, t("start"));
const verdict = h("p", { role: "status", class: "verdict" });
const counts = h("dl");
const field = h("ol", { class: "field-of-rivals", role: "list" });
const form = h("form", { class: "row", onsubmit: (/** @type {Event} */ event) => {
  event.preventDefault();
  if (start.getAttribute("aria-disabled") !== "true") void race();
} }, h("label", {}, t("rivals"), " ", rivals), start);

async function race() {
  // The publishable key of the pages reads no appointments.
  if (meta("api-key") && apiKey() === meta("api-key")) return askKey(main, undefined).then(show);
  start.setAttribute("aria-disabled", "true");
  verdict.className = "verdict";
  verdict.textContent = t("running", { count: Number(rivals.value) });
  counts.replaceChildren();
  const site = `proof-${newKey().slice(0, 12)}`;
  const slot = new Date(Math.ceil(Date.now() / DAY_MS) * DAY_MS + DAY_MS).toISOString();
  const all = Array.from({ length: Number(rivals.value) }, (_, number) => ({ number: number + 1, cell: h("li", { class: "waiting" }, String(number + 1)) }));
  field.replaceChildren(...all.map(({ cell }) => cell));
  /** @type {{id: string}[]} */
  let booked = [];
  try {
    // In another order each time: all ask at once, but a browser sends the first ones first.
    const order = all.map((rival) => ({ rival, at: Math.random() })).sort((one, other) => one.at - other.at);
    const outcomes = await Promise.all(order.map(({ rival }) => ask(rival, site, slot)));
    const end = new Date(Date.parse(slot) + DAY_MS).toISOString();
    booked = await readAll("appointments", "appointments", { query: { site, from: slot, to: end } });
    judge(outcomes, booked.length);
  } catch (error) {
    verdict.className = "verdict error";
    verdict.textContent = sentenceOf(error);
    if (error instanceof Refusal && (error.status === 401 || error.status === 403)) void askKey(main, error).then(show);
  } finally {
    await Promise.allSettled(booked.map(({ id }) => call("DELETE", `appointments/${id}`)));
    start.setAttribute("aria-disabled", "false");
  }
}

/** @param {{number: number, cell: HTMLElement}} rival @param {string} site @param {string} slot */
async function ask({ number, cell }, site, slot) {
  const body = { site, slot, durationMinutes: 30, patientName: t("rival", { number }) };
  /** @type {"won" | "lost" | "unknown"} */
  let outcome = "won";
  try {
    await call("POST", "book-appointment", { body, key: newKey() });
  } catch (error) {
    if (error instanceof Refusal && error.status !== 409) throw error;
    if (!(error instanceof Refusal || error instanceof NoAnswer)) throw error;
    outcome = error instanceof Refusal ? "lost" : "unknown";
  }
  cell.className = outcome;
  cell.textContent = t("cell", { number, outcome: t(`outcome.${outcome}`) });
  return outcome;
}

/** Judge by the answers of the service, and by what it has stored. @param {string[]} outcomes @param {number} stored */
function judge(outcomes, stored) {
  const count = (/** @type {string} */ outcome) => outcomes.filter((one) => one === outcome).length;
  /** @type {[string, number][]} */
  const rows = [["won", count("won")], ["lost", count("lost")], ["unknown", count("unknown")], ["stored", stored]];
  counts.replaceChildren(...rows.flatMap(([key, value]) => [h("dt", {}, t(`count.${key}`)), h("dd", { "data-count": key }, String(value))]));
  const holds = count("won") === 1 && stored === 1 && count("lost") === outcomes.length - 1;
  verdict.className = `verdict ${holds ? "good" : "error"}`;
  verdict.textContent = t(holds ? "holds" : "broken", { lost: count("lost") });
}

function show() {
  main.replaceChildren(h("h1", {}, t("title")), h("p", { class: "lead" }, t("lead")), form, verdict, field, counts, h("p", { class: "soft" }, t("six")));
}

show();
