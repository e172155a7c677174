// A phone on a page (`/sms`), to try the conversation by text message.
import { newKey } from "../common/api.js";
import { ROOT, announce, byId, h } from "../common/dom.js";
import { t } from "../common/i18n.js";

/** @typedef {{number: string, site: string, language: string}} Line */

const PHONE_KEY = "sms-phone";
const LONGEST_TEXT = 1600;
const WAIT_MS = 15000;
const TEXTS = new URL("sms/texts", ROOT);

/** A text that was not answered, with its id: sending it again is a repeat. @type {{text: string, id: string} | null} */
let unanswered = null;

/** The number of this phone; `renew` makes another one. */
function phoneNumber(renew = false) {
  const random = () => `+49151${String(crypto.getRandomValues(new Uint32Array(1))[0] % 1e8).padStart(8, "0")}`;
  const number = (!renew && sessionStorage.getItem(PHONE_KEY)) || random();
  sessionStorage.setItem(PHONE_KEY, number);
  return number;
}

/** @param {Line[]} lines */
function show(lines) {
  const number = h("select", { id: "to" }, ...lines.map((line) => h("option", { value: line.number }, t("line", { ...line }))));
  const texts = h("ol", { class: "texts", "aria-label": t("conversation"), tabindex: "0" });
  const field = h("input", { id: "text", autocomplete: "off", maxlength: LONGEST_TEXT, "aria-describedby": "hint" });
  const send = h("button", { class: "primary" }, t("send"));
  const phone = h("output", { class: "soft", for: "to" }, phoneNumber());
  const preferred = lines.findIndex((line) => line.language === document.documentElement.lang);
  number.selectedIndex = Math.max(preferred, 0);

  /** @param {"you" | "practice" | "note"} from @param {string} text */
  const add = (from, text) => {
    const who = from === "note" ? null : h("span", { class: "unseen" }, `${t(from)}: `);
    texts.append(h("li", { class: from }, who, text));
    texts.scrollTop = texts.scrollHeight;
    if (from !== "you") announce(text);
  };

  const submit = async () => {
    const text = field.value;
    const id = unanswered?.text === text ? unanswered.id : newKey().replaceAll("-", "");
    unanswered = { text, id };
    add("you", text || " ");
    field.value = "";
    field.focus();
    send.setAttribute("aria-disabled", "true");
    try {
      const reply = await ask({ id, phone: phoneNumber(), to: number.value, text });
      unanswered = null;
      if (reply) add("practice", reply);
      else add("note", t("silent"));
    } catch (error) {
      add("note", error instanceof Refused ? t("refused", { reason: error.message }) : t("unsent"));
      field.value ||= text;
    } finally {
      send.removeAttribute("aria-disabled");
    }
  };

  const form = h(
    "form",
    {
      class: "write",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        if (!send.hasAttribute("aria-disabled")) void submit();
      },
    },
    h("label", { for: "text", class: "unseen" }, t("text")), field, send,
  );
  const renew = h("button", { class: "quiet", onclick: () => {
    phone.value = phoneNumber(true);
    texts.replaceChildren();
    field.focus();
  } }, t("newPhone"));
  byId("main").append(
    h("p", { class: "lead" }, t("lead")),
    h("div", { class: "field" }, h("label", { for: "to" }, t("number")), number),
    h("section", { class: "card phone" }, h("div", { class: "row" }, phone, renew), texts, form, h("small", { id: "hint", class: "soft" }, t("hint"))),
  );
}

/** A text that the gateway did not take; the message says why. */
class Refused extends Error {}

/**
 * Send a text, and return the reply.
 * @param {Record<string, string>} text
 * @returns {Promise<string>}
 */
async function ask(text) {
  const response = await fetch(TEXTS, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(text),
    signal: AbortSignal.timeout(WAIT_MS),
  });
  const body = await response.json();
  if (response.ok) return body.reply;
  throw response.status < 500 ? new Refused(body.error) : new Error(body.error);
}

async function open() {
  const response = await fetch(TEXTS, { signal: AbortSignal.timeout(WAIT_MS) });
  const body = await response.json();
  if (!response.ok || !body.numbers.length) {
    byId("main").append(h("p", { class: "note warn" }, response.ok ? t("none") : body.error));
    return;
  }
  show(body.numbers);
}

open().catch(() => byId("main").append(h("p", { class: "note bad", role: "alert" }, t("failed"))));
