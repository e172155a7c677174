// Elements are made anew when the day changes. `data-focus` says which of them stand for the same thing.

/** What the focused element stands for. @param {Element} [root] */
export function focused(root = document.body) {
  const element = document.activeElement;
  return element instanceof HTMLElement && root.contains(element) ? element.dataset.focus : undefined;
}

/** Focus the visible element that stands for something; false if there is none. @param {string | undefined} what @param {Element} [root] */
export function focusOn(what, root = document.body) {
  if (what === undefined) return false;
  const elements = /** @type {HTMLElement[]} */ ([...root.querySelectorAll("[data-focus]")]);
  return elements.some((element) => {
    if (element.dataset.focus === what) element.focus();
    return document.activeElement === element;
  });
}
