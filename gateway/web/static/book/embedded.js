// In a frame of another site, tell that site how high the page is. Its script resizes the frame (`/web/embed.js`).
if (parent !== self) {
  document.documentElement.classList.add("embedded");
  new ResizeObserver(() => {
    parent.postMessage({ type: "slotkeeper-height", height: Math.ceil(document.documentElement.getBoundingClientRect().height) }, "*");
  }).observe(document.documentElement);
}
