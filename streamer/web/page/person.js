// One person: the name, the photos, where they were seen; renamed, merged with another one, erased.

import { ask, may, service } from "./api.js";
import { NotThem } from "./denied.js";
import { PersonPicker } from "./naming.js";
import { Erased, erased, hold } from "./erased.js";
import { useObserved } from "./observable.js";
import { addressOf, Dialog, Face, say, Sure, timeWords, Trouble, useAction, Waiting } from "./parts.js";
import { Report, Sending, usePhotos, useSending } from "./photos.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { Seen, seenWords, useSeen } from "./seen.js";
import { live, personBecame, useLost } from "./visits.js";

const ERASED_WITHIN_MS = 300000; // one after another, and each is looked for everywhere

export function Person({ id }) {
  const { again } = useObserved(service);
  const [found, setFound] = useState(null); // {person, photos, next, etag}
  const [problem, setProblem] = useState(null);
  const [open, setOpen] = useState("");
  const report = useObserved(erased).reports.get(id);
  const seen = useSeen(report ? null : id);
  const isGone = useObserved(live, ({ gone }) => gone.has(id));
  const renamed = useObserved(live, ({ renamed }) => renamed.get(id));
  const lost = useLost();

  async function look() {
    try {
      const { data: person, etag } = await ask(`/api/v1/people/${encodeURIComponent(id)}`);
      if (person.id !== id) return location.replace(addressOf("people", person.id)); // merged, or asked by name
      const { data } = await ask(`/api/v1/people/${id}/photos?limit=500`);
      setFound({ person, photos: data.photos, etag });
      setProblem(null);
    } catch (error) {
      if (error.code === "person_not_found") setFound(null); // and all that is open
      setProblem(error);
    }
  }
  async function erase() {
    const { data } = await ask(`/api/v1/people/${id}`, { method: "DELETE", withinMs: ERASED_WITHIN_MS });
    personBecame(id, null);
    say(""); // it may name them
    hold(id, found.person.name, data);
  }
  useEffect(() => {
    if (report) return;
    if (isGone) setFound(null); // and all that is open
    look();
  }, [id, again, isGone, renamed, lost]);

  if (report) return html`<${Back} /><${Erased} id=${id} ...${report} />`;
  if (problem && !found) return html`<${Back} /><h1>Person</h1><${Trouble} problem=${problem} />`;
  if (!found) return html`<${Back} /><${Waiting} />`;
  const { person, photos, etag } = found;
  const close = () => setOpen("");
  return html`<${Back} />
    <div class="title"><h1>${person.name}</h1>
      <a class="button main" href=${`#/events?person=${id}`}>When seen</a></div>
    <p class="quiet">${seenWords(seen)}enrolled ${timeWords(person.enrolled_at)}${person.tags.length ? ` · ${person.tags.join(", ")}` : ""}${person.ignored ? " · ignored: known, and never told of" : ""}</p>
    <${Trouble} problem=${problem} />
    ${may("operator") && html`<div class="buttons">
      <button type="button" onClick=${() => setOpen("rename")}>Rename</button>
      <button type="button" onClick=${() => setOpen("merge")}>Is the same person as…</button>
      <button type="button" class="danger" onClick=${() => setOpen("erase")}>Erase…</button>
    </div>`}
    <${Seen} id=${id} seen=${seen} />
    <h2>Photos</h2>
    ${photos.length === 0 && html`<p class="empty">No photo: ${person.name} can’t be recognised.</p>`}
    <ul class="photos">${photos.map((photo) => html`<${Photo} key=${photo.id} person=${person} photo=${photo} changed=${look} />`)}</ul>
    ${may("operator") && html`<${More} person=${person} changed=${look} />`}
    <${NotThem} person=${person} />
    ${open === "rename" && html`<${Rename} person=${person} etag=${etag} onClose=${close} onStale=${look} onDone=${() => (close(), look())} />`}
    ${open === "merge" && html`<${Merge} person=${person} onClose=${close} />`}
    ${open === "erase" && html`<${Sure} title=${`Erase ${person.name}?`} verb=${`Erase ${person.name}`} onClose=${close}
      words=${eraseWords(person, photos, seen)}
      lasting="Everywhere is looked for what is left; with thousands of visits that takes a minute." onYes=${erase} />`}`;
}

function eraseWords({ name }, photos, seen) {
  const many = photos.length === 1 ? "1 photo" : `${photos.length} photos`;
  const visits = seen && !seen.visits.length ? "" : seen ? ` ${seen.visits.length}${seen.isMore ? " or more" : ""} ${seen.visits.length === 1 && !seen.isMore ? "visit" : "visits"} with pictures,` : " kept visits,";
  return `The name, ${many},${visits} and all else that is known of ${name} are erased wherever they are kept. It can’t be undone. Cameras see somebody unknown in ${name} then; where visits of unknown people are kept (events.keep_unknown_h), later ones are kept like those of any stranger.`;
}

const Back = () => html`<p class="back"><a href="#/people">← All people</a></p>`;

function Photo({ person, photo, changed }) {
  const [isAsked, setAsked] = useState(false);
  const remove = async () => {
    await ask(`/api/v1/people/${person.id}/photos/${photo.id}`, { method: "DELETE" });
    setAsked(false);
    changed();
  };
  const src = `/api/v1/people/${person.id}/photos/${photo.id}/chip`;
  return html`<li><${Face} src=${src} name=${`Photo ${photo.id} of ${person.name}`} isLarge />
    <p class="quiet">quality ${photo.quality.toFixed(2)}</p>
    ${may("operator") && html`<button type="button" class="plain" aria-label=${`Erase photo ${photo.id}`} onClick=${() => setAsked(true)}>Erase photo</button>`}
    ${isAsked && html`<${Sure} title="Erase this photo?" words="It goes with what was made of it. Without photos a person is not recognised." verb="Erase it" onYes=${remove} onClose=${() => setAsked(false)} />`}
  </li>`;
}

function More({ person, changed }) {
  const { photos, forget, part } = usePhotos();
  const [report, setReport] = useState(null);
  const sending = useSending();
  const [send, isBusy, problem] = useAction(async () => {
    const form = new FormData();
    for (const { file } of photos) form.append("images", file);
    setReport(await sending.send(`/api/v1/people/${person.id}/photos`, form));
    forget(photos); // others may have come meanwhile
    changed();
  });
  return html`<h2>More photos</h2>${part}
    <${Trouble} problem=${problem} />
    ${photos.length > 0 && html`<div class="buttons"><button type="button" class="main" disabled=${isBusy} onClick=${send}>${`Add ${photos.length === 1 ? "the photo" : `${photos.length} photos`}`}</button></div>`}
    ${isBusy && html`<${Sending} ...${sending} />`}
    <${Report} report=${report} />`;
}

function Rename({ person, etag, onClose, onStale, onDone }) {
  const [name, setName] = useState(person.name);
  const [seen, setSeen] = useState(etag); // null: it was told that somebody else was quicker
  const [run, isBusy, problem] = useAction(async () => {
    try {
      await ask(`/api/v1/people/${person.id}`, { method: "PATCH", json: { name: name.trim() }, etag: seen ?? etag });
    } catch (problem) {
      if (problem.status === 412) (setSeen(null), onStale()); // seen as it is now, it may be decided once more
      throw problem;
    }
    personBecame(person.id, { id: person.id, name: name.trim() });
    say(`Renamed: ${name.trim()}.`);
    onDone();
  });
  const send = (event) => (event.preventDefault(), run());
  return html`<${Dialog} title=${`Rename ${person.name}`} onClose=${onClose}><form onSubmit=${send}>
    <label>Name <input name="name" required maxlength="100" autocomplete="off" value=${name} onInput=${({ target }) => setName(target.value)} /></label>
    <${Trouble} problem=${problem} />
    <div class="buttons"><button type="submit" class="main" disabled=${isBusy}>${isBusy ? "One moment…" : "Rename"}</button></div>
  </form></${Dialog}>`;
}

function Merge({ person, onClose }) {
  const [into, setInto] = useState(null);
  const go = useRef();
  useEffect(() => void (into && go.current.focus()), [into]); // where the name was picked is gone
  const [run, isBusy, problem] = useAction(async () => {
    await ask(`/api/v1/people/${person.id}/merge`, { method: "POST", json: { into: into.id }, withinMs: ERASED_WITHIN_MS });
    personBecame(person.id, { id: into.id, name: into.name });
    say(`${person.name} and ${into.name} are one person now: ${into.name}.`);
    location.replace(addressOf("people", into.id));
  });
  return html`<${Dialog} title=${`${person.name} is the same person as…`} onClose=${onClose}>
    ${!into && html`<${PersonPicker} label="Name of the other one" without=${person.id} onPick=${setInto} />`}
    ${into && html`<p>All photos go to <b>${into.name}</b>, and the name <b>${person.name}</b> goes. Nothing but a split by hand undoes it.</p>
      <div class="buttons"><button type="button" class="main" ref=${go} disabled=${isBusy} onClick=${run}>${isBusy ? "One moment…" : `Merge into ${into.name}`}</button>
        <button type="button" disabled=${isBusy} onClick=${() => setInto(null)}>Somebody else</button></div>`}
    <${Trouble} problem=${problem} />
  </${Dialog}>`;
}
