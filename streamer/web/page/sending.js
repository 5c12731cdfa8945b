// One request on its way. Photos go by XMLHttpRequest, which alone tells how much of them has gone; what stands still is
// given up. And the key by which the service knows a change that is sent again (Idempotency-Key).

const STANDS_STILL_MS = 30000; // nothing of the photos went on for so long
const LOOKED_AT_WITHIN_MS = 180000; // photos that have come are looked at, one after another

// A Response; rejected where there is none. onSent: told how much has gone, from 0 to 1.
export function sendForm(path, { method, headers, form, signal, onSent }) {
  return new Promise((answered, failed) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    let timer;
    const within = (limitMs) => {
      clearTimeout(timer);
      timer = setTimeout(stop, limitMs);
    };
    const over = (done) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
      done();
    };
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => (within(STANDS_STILL_MS), onSent?.(loaded / total));
    request.upload.onload = () => (within(LOOKED_AT_WITHIN_MS), onSent?.(1));
    request.onload = () => over(() => answered(responseOf(request)));
    request.onerror = request.onabort = () => over(() => failed(new TypeError("no answer")));
    if (signal?.aborted) return failed(new TypeError("no answer"));
    signal?.addEventListener("abort", stop);
    within(STANDS_STILL_MS);
    request.send(form);
  });
}

function responseOf(request) {
  const lines = request.getAllResponseHeaders().trim().split("\r\n");
  const headers = new Headers(lines.filter(Boolean).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]));
  return new Response(request.status === 204 ? null : request.responseText, { status: request.status, headers });
}

const SAME_FOR_MS = 120000; // later it is said anew, for somebody else may have changed it back

let unanswered = null; // {what, key, at}: the last change, while nobody knows whether it was done

// Of the same change as one that was never answered it is the same: the service then says what it said the first time.
// Any other change in between makes it a new one.
export function keyOf(method, path, json, form) {
  const what = JSON.stringify([method, path, json, form && [...form].map(([name, value]) => (value instanceof File ? [name, value.name, value.size, value.lastModified] : [name, value]))]);
  if (unanswered?.what !== what || Date.now() - unanswered.at > SAME_FOR_MS) unanswered = { what, key: newKey(), at: Date.now() };
  return unanswered.key;
}

export function isAnswered(key) {
  if (unanswered?.key === key) unanswered = null;
}

// crypto.randomUUID is there for https:// pages alone.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
