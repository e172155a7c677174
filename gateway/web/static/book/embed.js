// Shows the patient's page of a site where this script stands:
// <script src="https://booking.example/web/embed.js" data-site="harbour" data-lang="de" async></script>
(() => {
  const script = /** @type {HTMLScriptElement} */ (document.currentScript);
  const root = new URL("..", script.src);
  const page = new URL(`book/${encodeURIComponent(script.dataset.site ?? "default")}`, root);
  if (script.dataset.lang) page.searchParams.set("lang", script.dataset.lang);
  const frame = document.createElement("iframe");
  frame.src = page.href;
  frame.title = script.dataset.title ?? "Book an appointment";
  Object.assign(frame.style, { inlineSize: "100%", blockSize: "40rem", border: "0" });
  addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== root.origin) return;
    if (event.data?.type === "slotkeeper-height") frame.style.blockSize = `${Number(event.data.height)}px`;
  });
  script.after(frame);
})();
