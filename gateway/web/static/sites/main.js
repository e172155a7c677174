// The list of sites (`/`).
import { NoAnswer, Refusal, call, lacksKey } from "../common/api.js";
import { ROOT, byId, h } from "../common/dom.js";
import { t } from "../common/i18n.js";

const main = byId("main");

async function show() {
  /** @type {{body: {sites: string[]}}} */
  const { body } = await call("GET", "sites");
  if (!body.sites.length) {
    main.append(h("p", { class: "lead" }, t("none", { place: "{site}/{resource}" })));
    return;
  }
  const links = body.sites.map((site) => h("li", {}, h("a", { class: "button", href: new URL(`book/${site}${location.search}`, ROOT) }, site)));
  main.append(h("p", { class: "lead" }, t("choose")), h("ul", { class: "sites", role: "list" }, ...links));
}

show().catch((error) => {
  if (!(error instanceof Refusal || error instanceof NoAnswer)) throw error;
  main.append(h("p", { class: "note bad", role: "alert" }, t(lacksKey(error) ? "notSetUp" : "failed")));
});
