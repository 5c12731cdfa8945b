// Who somebody in a visit is: a name for somebody unknown, another one for who was taken for somebody else.

import { ask, Problem } from "./api.js";
import { Denied } from "./denied.js";
import { Dialog, Face, say, Trouble, useAction, Waiting } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { isSame, pictureOf } from "./visits.js";

const MOST_FOUND = 6;
const TYPED_FOR_MS = 150;
const SLOW_MS = 700;
const NONE = { people: [], isMore: false, isAsked: false };

// Whose names contain what was typed, some of them, or null; a problem is whose it is who asked.
function useFound(typed, without) {
  const [found, setFound] = useState(NONE); // {people, isMore}; null where it takes a while
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    const cancelling = new AbortController();
    const slow = setTimeout(() => setFound(null), SLOW_MS);
    const timer = setTimeout(async () => {
      const query = new URLSearchParams({ limit: String(MOST_FOUND + 2), ...(typed && { name: typed }) });
      try {
        const { data } = await ask(`/api/v1/people?${query}`, { signal: cancelling.signal });
        const others = data.people.filter(({ id }) => id !== without);
        setFound({ people: others.slice(0, MOST_FOUND), isMore: others.length > MOST_FOUND, isAsked: true });
        setProblem(null);
      } catch (error) {
        if (error.code !== "cancelled") setProblem(error);
      }
      clearTimeout(slow);
    }, typed ? TYPED_FOR_MS : 0);
    return () => (clearTimeout(timer), clearTimeout(slow), cancelling.abort());
  }, [typed]);
  return [found, problem];
}

// A field for a name, and who has one like it.
export function PersonPicker({ label, without, likely = [], onPick, onNew, isBusy, isFirst = true }) {
  const [typed, setTyped] = useState("");
  const [found, problem] = useFound(typed.trim(), without);
  const input = useRef();
  useEffect(() => void (isFirst && input.current.focus({ preventScroll: true })), []);
  const first = typed.trim() ? [] : likely.filter(({ name }) => name);
  const people = [...first, ...(found?.people ?? []).filter(({ id }) => !first.some((one) => one.id === id))];
  const isNew = onNew && typed.trim() && !people.some(({ name }) => sameName(name, typed));
  function entered(event) {
    event.preventDefault();
    const same = people.find(({ name }) => sameName(name, typed));
    if (same) onPick(same);
    else if (isNew) onNew(typed.trim());
  }
  return html`<form class="picker" onSubmit=${entered}>
    <label>${label}<input ref=${input} name="name" value=${typed} maxlength="100" autocomplete="off" disabled=${isBusy} onInput=${({ target }) => setTyped(target.value)} /></label>
    <${Trouble} problem=${problem} />
    <div class="choices">
      ${isNew && html`<button type="submit" class="main" disabled=${isBusy}>Somebody new: ${typed.trim()}</button>`}
      ${people.map((person) => html`<button type="button" key=${person.id} disabled=${isBusy} onClick=${() => onPick(person)}>${person.name}</button>`)}
    </div>
    <p class="quiet" role="status">${!found && !problem ? "Looking for people…" : found?.isMore ? "There are more: type more of the name." : found?.isAsked && typed.trim() && !people.length && !onNew ? "Nobody has such a name." : ""}</p>
  </form>`;
}

const sameName = (one, other) => one.trim().toLocaleLowerCase() === other.trim().toLocaleLowerCase();

// Somebody unknown becomes a person: a new one, or one who is enrolled and was not recognised.
export function Naming({ visit, onDone, onClose }) {
  const [last, setLast] = useState(null); // what was refused, that it may be said once more
  const [run, isBusy, problem] = useAction(async (what, isForced = false) => {
    setLast(what);
    try {
      await etagOf(visit, what.person);
    } catch (problem) {
      if (problem.code === "corrected_before") return quicker(visit, problem, onDone);
      throw problem;
    }
    const person = await enrolledFrom(visit, what, isForced);
    const why = await named(visit, person);
    say(`${person.name} is recognised from now on.${why && ` This visit keeps no name: ${why}`}`, { isBad: Boolean(why) });
    onDone({ ...visit, person, decision: "known", similarity: null, candidates: [] });
  });
  const looksLikeOther = problem?.code === "enrolled_already";
  return html`<${Dialog} title="Who is this?" onClose=${onClose}>
    <${Face} src=${pictureOf(visit, "face")} name="Somebody unknown" isLarge />
    <${PersonPicker} label="Name" likely=${visit.candidates ?? []} isBusy=${isBusy} onPick=${(person) => run({ person })} onNew=${(name) => run({ name })} />
    ${isBusy && html`<${Waiting} />`}
    <${Trouble} problem=${problem && { ...problem, message: wordsOf(problem), refused: problem.refused }} />
    <${Denied} problem=${problem} person=${last?.person} />
    ${looksLikeOther && html`<button type="button" disabled=${isBusy} onClick=${() => run(last, true)}>It is somebody else: enrol all the same</button>`}
  </${Dialog}>`;
}

function wordsOf(problem) {
  if (problem.code !== "visit_not_found" && problem.code !== "kept_visits_missing") return problem.message;
  return "Nothing is kept of this visit, so nobody can be enrolled from it. Visits of unknown people are kept where a camera has snapshots and events.keep_unknown_h is set. Enrol them by photos instead.";
}

async function enrolledFrom({ event_id }, { name, person }, force) {
  if (person) {
    await ask(`/api/v1/people/${person.id}/photos`, { method: "POST", json: { event_id, force } });
    return { id: person.id, name: person.name };
  }
  const { data } = await ask("/api/v1/people", { method: "POST", json: { name, from_visit: event_id, force } });
  return { id: data.id, name: data.name };
}

// The visit itself, which may be over, has the name from now on, too. Why not, if it has not.
async function named(visit, person) {
  try {
    await corrected(visit, person);
    return "";
  } catch (problem) {
    return problem.message;
  }
}

// What somebody else has said counts, and is shown from now on.
function quicker(visit, { message, now }, onDone) {
  say(message, { isBad: true });
  onDone({ ...visit, person: now, decision: now ? "known" : "unknown", similarity: null });
}

// The second click of two: who it was instead, or nobody who is known.
export function Correction({ visit, onDone, onClose }) {
  // The visit may be told anew meanwhile.
  const [wrong] = useState({ ...visit.person, name: visit.person.name ?? "somebody who was forgotten" });
  const [run, isBusy, problem] = useAction(async (person) => {
    try {
      await corrected(visit, person);
    } catch (problem) {
      if (problem.code === "corrected_before") return quicker(visit, problem, onDone);
      throw problem;
    }
    say(person ? `Corrected: ${person.name}.` : `Corrected. This face is not taken for ${wrong.name} any more.`);
    onDone({ ...visit, person, decision: person ? "known" : "unknown", similarity: null });
  });
  const first = useRef();
  useEffect(() => first.current.focus({ preventScroll: true }), []);
  return html`<div class="correction" role="group" aria-label=${`Not ${wrong.name}`}>
    <p>Then who?</p>
    <div class="choices"><button type="button" ref=${first} class="nobody main" disabled=${isBusy} onClick=${() => run(null)}>Nobody I know</button></div>
    <${PersonPicker} label="Somebody else" without=${wrong.id} isFirst=${false} isBusy=${isBusy} onPick=${run} />
    ${isBusy && html`<p class="quiet" role="status">One moment…</p>`}
    <${Trouble} problem=${problem} />
    <button type="button" class="plain" disabled=${isBusy} onClick=${onClose}>It is ${wrong.name} after all</button>
  </div>`;
}

// The visit has another name from now on, and the face is not taken for that person any more. A visit that goes on is
// another one with each message: what counts is that nobody else has named it otherwise meanwhile.
async function corrected(visit, person) {
  for (let attempt = 1; ; attempt++) {
    const etag = await etagOf(visit, person);
    try {
      return await ask(`/api/v1/events/${visit.event_id}`, { method: "PATCH", json: { person: person?.id ?? null }, etag });
    } catch (problem) {
      if (problem.status !== 412 || attempt === 3) throw problem;
    }
  }
}

// Of the visit as it is now, if it is still whose it was shown to be, or whose it is to be. Of a visit of nobody's, only
// what was said by hand counts: a camera may have recognised them since.
async function etagOf({ event_id, person: shown }, person) {
  const { data, etag } = await ask(`/api/v1/events/${event_id}`);
  const now = data.events.at(-1)?.person ?? null;
  const isOther = shown ? !isSame(now, shown) : now !== null && data.said_at !== null;
  if (!isOther || isSame(now, person)) return etag;
  const problem = new Problem(412, { code: "corrected_before", detail: `Somebody else was quicker: it is ${now ? (now.name ?? "somebody who was forgotten") : "nobody known"} now.` });
  throw Object.assign(problem, { now });
}
