// Somebody new by photos: a name, the photos, and what became of each.

import { addressOf, Trouble, useAction } from "./parts.js";
import { Report, Sending, usePhotos, useSending } from "./photos.js";
import { html, useEffect, useState } from "./vendor/preact.js";

export function Enrol() {
  const { photos, forget, part } = usePhotos();
  const [name, setName] = useState("");
  const [added, setAdded] = useState(null);
  const sending = useSending();
  const [send, isBusy, problem, unsay] = useAction(async (isForced) => {
    const form = new FormData();
    form.append("name", name.trim());
    if (isForced) form.append("force", "true");
    for (const { file } of photos) form.append("images", file);
    setAdded(await sending.send("/api/v1/people", form));
    forget();
  });
  useEffect(unsay, [photos]); // of photos that are others now
  const submit = (event) => (event.preventDefault(), name.trim() && photos.length && send(false));
  const another = () => (setAdded(null), setName(""), unsay());
  const missing = [!name.trim() && "a name", !photos.length && "a photo"].filter(Boolean);
  const wants = missing.length ? `${missing.join(" and ")} first`.replace(/^./, (first) => first.toUpperCase()) : "";
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
        <button type="submit" class="main" aria-describedby="enrol-wants" disabled=${isBusy || wants}>Enrol</button>
        <p class="quiet" id="enrol-wants">${isBusy ? "" : wants}</p>
      </div>
      ${isBusy && html`<${Sending} ...${sending} />`}
    </form>`;
}
