// Faces of which somebody said that they are not a person, though they were taken for that one; and the way back.

import { ask, may } from "./api.js";
import { addressOf, Face, say, timeWords, Trouble, useAction } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

const MOST = 500; // asked for at once

export function NotThem({ person: { id, name } }) {
  const [faces, setFaces] = useState([]);
  const [problem, setProblem] = useState(null);
  const title = useRef();
  const base = `/api/v1/people/${id}/negatives`;

  async function look() {
    try {
      setFaces((await ask(`${base}?limit=${MOST}`)).data.negatives);
      setProblem(null);
    } catch (error) {
      setProblem(error);
    }
  }
  async function takeBack({ id: number, source }) {
    await ask(`${base}/${number}`, { method: "DELETE" });
    title.current?.focus(); // the button goes
    const [kind, event_id] = source.split(" ");
    const again = async () => (await ask(base, { method: "POST", json: { event_id } }), look());
    say(`Taken back: this face may be ${name}.`, { action: kind === "event" ? { words: "Undo", run: again } : null });
    await look();
  }
  useEffect(() => void look(), [id]);

  if (!faces.length) return html`<${Trouble} problem=${problem} />`;
  return html`<section class="not-them"><h2 ref=${title} tabindex="-1">Faces said not to be ${name}</h2>
    <p class="hint">Whoever looks more like one of these than like the photos of ${name} is not named ${name}. Was it ${name} after all? Take it back.</p>
    <${Trouble} problem=${problem} />
    <ul class="photos">${faces.map((face) => html`<${NotThis} key=${face.id} base=${base} face=${face} name=${name} takeBack=${takeBack} />`)}</ul></section>`;
}

function NotThis({ base, face, name, takeBack }) {
  const [run, isBusy, problem] = useAction(() => takeBack(face));
  const when = timeWords(face.created_at);
  return html`<li><${Face} src=${`${base}/${face.id}/chip`} name=${`Said not to be ${name}, ${when}`} isLarge />
    <p class="quiet">said ${when}${face.source.startsWith("photo") ? ", of a photo" : ""}</p>
    ${may("operator") && html`<button type="button" aria-label=${`Take back what was said of this face, ${when}`} disabled=${isBusy} onClick=${run}>Take back</button>`}
    <${Trouble} problem=${problem} /></li>`;
}

// Beside a refusal for what was said of another face: where that is taken back.
export function Denied({ problem, person }) {
  if (!person || !problem?.refused?.some(({ code }) => code === "face_denied")) return null;
  return html`<a class="button" href=${addressOf("people", person.id)}>Faces said not to be ${person.name}</a>`;
}
