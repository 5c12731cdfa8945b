// Somebody new by photos: a name, the photos, and what became of each.

import { ask } from "./api.js";
import { addressOf, Trouble, useAction } from "./parts.js";
import { Report, usePhotos } from "./photos.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

export function Enrol() {
  const { photos, forget, part } = usePhotos();
  const [name, setName] = useState("");
  const [added, setAdded] = useState(null);
  const sending = useRef(null);
  const [send, isBusy, problem, unsay] = useAction(async (isForced) => {
    const form = new FormData();
    form.append("name", name.trim());
    if (isForced) form.append("force", "true");
    for (const { file } of photos) form.append("images", file);
    sending.current = new AbortController();
    setAdded((await ask("/api/v1/people", { method: "POST", form, signal: sending.current.signal })).data);
    forget();
  });
  useEffect(unsay, [photos]); // of photos that are others now
  const submit = (event) => (event.preventDefault(), name.trim() && photos.length && send(false));
  const another = () => (setAdded(null), setName(""), unsay());
  const mib = photos.reduce((sum, { file }) => sum + file.size, 0) / 2 ** 20;
  if (added) {
    return html`<p class="back"><a href="#/people">← All people</a></p><h1>${added.name} is enrolled</h1>
      <p>Cameras recognise ${added.name} from now on.</p><${Report} report=${added.enrolment} />
      <div class="buttons"><a class="button main" href=${addressOf("people", added.id)}>Show ${added.name}</a>
        <button type="button" onClick=${another}>Enrol another one</button></div>`;
  }
  return html`<p class="back"><a href="#/people">← All people</a></p><h1>Enrol somebody</h1>
    <form class="enrol" onSubmit=${submit}>
      <label>Name <input name="name" required maxlength="100" autocomplete="off" value=${name} onInput=${({ target }) => setName(target.value)} /></label>
      ${part}
      <${Trouble} problem=${problem} />
      ${problem?.code === "enrolled_already" && html`<button type="button" disabled=${isBusy} onClick=${() => send(true)}>It is somebody else: enrol all the same</button>`}
      <div class="buttons">
        <button type="submit" class="main" disabled=${isBusy || !photos.length || !name.trim()}>${isBusy ? `Sending ${mib.toFixed(1)} MiB…` : "Enrol"}</button>
        ${isBusy && html`<button type="button" onClick=${() => sending.current?.abort()}>Stop sending</button>`}
      </div>
    </form>`;
}
