// The keyboard's focus is not lost: where what has it goes away, what stood next to it takes it; what is busy gets it back.

const MAY_HAVE_IT = "a[href], button:not(:disabled), select:not(:disabled), input:not(:disabled, [tabindex='-1'])";

let last = null; // what had it, until somebody clicks elsewhere

export function keepFocus(root) {
  addEventListener("focusin", ({ target }) => (last = target));
  addEventListener("pointerdown", () => (last = null), true); // a click on nothing takes it away on purpose
  new MutationObserver(look).observe(root, { childList: true, subtree: true, attributeFilter: ["disabled"] });
}

export const toMain = () => give(document.getElementById("main"));

function look(records) {
  if (!last || isHeld()) return;
  if (last.isConnected) return last.disabled || give(last); // Chromium takes it from what is disabled, for good
  beside(last, records);
}

function beside(lost, records) {
  const record = records.find(({ removedNodes }) => [...removedNodes].some((node) => node.contains(lost)));
  if (record && !record.target.isConnected) return beside(record.target, records); // went with more of what was around it
  for (const place of record ? [record.nextSibling, record.previousSibling, record.target] : []) {
    const heir = place?.isConnected && place.querySelector?.(MAY_HAVE_IT);
    if (heir) return give(heir);
  }
  toMain();
}

const isHeld = () => document.activeElement && document.activeElement !== document.body && document.activeElement.isConnected && !document.activeElement.disabled;

const give = (element) => element?.focus({ preventScroll: element.id === "main" });
