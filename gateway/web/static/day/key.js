// Ask for the key of the desk, which is kept for this tab alone.
import { Refusal, apiKey, useKey } from "../common/api.js";
import { h, meta } from "../common/dom.js";
import { t } from "../common/i18n.js";

/** Show a form in place of the page, until a key was given. @param {HTMLElement} main @param {unknown} refusal @returns {Promise<void>} */
export function askKey(main, refusal) {
  // Only a key that a person gave is to blame. One that is not valid is forgotten.
  const used = apiKey() !== meta("api-key");
  const why = used && refusal instanceof Refusal ? t(refusal.status === 403 ? "keyForbidden" : "keyWrong") : "";
  if (refusal instanceof Refusal && refusal.status === 401) useKey("");
  const input = h("input", { type: "password", required: true, autocomplete: "off", spellcheck: "false" });
  return new Promise((done) => {
    const form = h("form", { class: "card", onsubmit: (/** @type {Event} */ event) => {
      event.preventDefault();
      useKey(input.value.trim());
      done();
    } },
    h("p", {}, t("keyNeeded")),
    h("label", { class: "field" }, t("key"), input, h("small", {}, t("keyHint"))),
    h("p", { class: "error", role: "alert" }, why),
    h("button", { class: "primary" }, t("keyUse")));
    main.replaceChildren(h("h1", {}, document.title), form);
    input.focus();
  });
}
