// Who somebody in a visit is: a name for somebody unknown, another one for who was taken for somebody else.

import { ask, COMPARED_WITHIN_MS, Problem } from "./api.js";
import { Denied } from "./denied.js";
import { Dialog, Face, say, Trouble, useAction, Waiting } from "./parts.js";
import { PersonPicker } from "./picker.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { isSame, pictureOf } from "./visits.js";

export { PersonPicker };

const MOST_AT_ONCE = 50; // more of them are looked at in Review first
const FOLLOWED_WITHIN_MS = 1000; // the service's index of faces
const KEPT_WITHIN_MS = 10000;
const VERY_LIKE = 0.25; // so far above the threshold

const visitsWords = (count, verb) => (count === 1 ? `1 more visit ${verb}s` : `${count} more visits ${verb}`);

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
    const isLast = say(`${person.name} is recognised from now on.${why && ` This visit keeps no name: ${why}`}`, { isBad: Boolean(why) });
    onDone({ ...visit, person, decision: "known", similarity: null, candidates: [] });
    if (!why) offerOthers(person, isLast);
  });
  const looksLikeOther = problem?.code === "enrolled_already";
  return html`<${Dialog} title="Who is this?" onClose=${onClose}>
    <div class="whose"><${Face} src=${pictureOf(visit, "face")} name="Somebody unknown" isLarge />
      <${PersonPicker} label="Name" likely=${visit.candidates ?? []} isBusy=${isBusy} onPick=${(person) => run({ person })} onNew=${(name) => run({ name })} /></div>
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

// Earlier visits that look like who has a name now: said, and named on one word more. Looked for beside what one does.
async function offerOthers(person, isLast) {
  await new Promise((done) => setTimeout(done, FOLLOWED_WITHIN_MS));
  const like = await othersLike(person).catch(() => []); // Review says what is wrong
  const count = like.reduce((sum, one) => sum + one.count, 0);
  if (!count || !isLast()) return;
  const action = count > MOST_AT_ONCE ? { words: "Look at them", run: toReview } : { words: count === 1 ? "Name it, too" : "Name them, too", run: () => nameOthers(person, like) };
  say(`${person.name} is recognised from now on. ${visitsWords(count, "look")} like ${person.name}.`, { action });
}

async function othersLike(person) {
  const { data } = await ask("/api/v1/review?limit=50", { withinMs: COMPARED_WITHIN_MS });
  return data.clusters.filter(({ candidates }) => candidates[0]?.id === person.id);
}

const toReview = () => void (location.hash = "#/review");
const CHANGED = ["cluster_not_found", "cluster_changed"];

// Nobody has looked at each of their faces, so none becomes a photo. What has changed meanwhile, as with each visit that
// comes, is asked for anew.
async function nameOthers(person, clusters, named = 0, attempt = 1) {
  for (const { id } of clusters) {
    try {
      const { etag } = await ask(`/api/v1/review/${id}`);
      const { data } = await ask(`/api/v1/review/${id}/person`, { method: "POST", json: { person: person.id, enrol: false }, etag });
      named += data.event_ids.length;
    } catch (problem) {
      if (!CHANGED.includes(problem.code)) throw problem;
      if (attempt < 3) return nameOthers(person, await othersLike(person), named, attempt + 1);
      return say(`${named ? `${named} named. ` : ""}Others have changed since they were counted.`, { action: { words: "Look at them", run: toReview } });
    }
  }
  say(`${named === 1 ? "1 more visit is" : `${named} more visits are`} ${person.name}’s.`, { action: { words: "Show them", run: () => void (location.hash = `#/events?person=${person.id}`) } });
}

// The second click of two: who it was instead, or nobody who is known.
export function Correction({ visit, onDone, onClose }) {
  // The visit may be told anew meanwhile.
  const [wrong] = useState({ ...visit.person, name: visit.person.name ?? "somebody who was forgotten" });
  const [run, isBusy, problem] = useAction(async (person) => {
    let done;
    try {
      done = await corrected(visit, person);
    } catch (problem) {
      if (problem.code === "corrected_before") return quicker(visit, problem, onDone);
      throw problem;
    }
    const follows = done.negative ? `Faces like this are not taken for ${wrong.name} any more.` : "";
    const fixed = { ...visit, person, decision: person ? "known" : "unknown", similarity: null };
    const undo = { words: "Undo", keys: "Control+z", run: () => undone(fixed, wrong, done, onDone) };
    say(`Corrected${person ? `: ${person.name}` : ""}. ${follows}`.trim(), { action: visit.person.name ? undo : null });
    onDone(fixed);
  });
  const first = useRef();
  useEffect(() => first.current.focus({ preventScroll: true }), []);
  return html`<div class="correction" role="group" aria-label=${`Not ${wrong.name}`}>
    <div class="choices"><button type="button" ref=${first} class="nobody" aria-describedby=${`follows-${visit.event_id}`} disabled=${isBusy} onClick=${() => run(null)}>Nobody I know</button>
      <button type="button" disabled=${isBusy} onClick=${onClose}>It is ${wrong.name} after all</button></div>
    <p class="quiet" id=${`follows-${visit.event_id}`}>${followsWords(visit, wrong)}</p>
    <${PersonPicker} label="Or somebody else" without=${wrong.id} isFirst=${false} isBusy=${isBusy} onPick=${run} />
    ${isBusy && html`<p class="quiet" role="status">One moment…</p>`}
    <${Trouble} problem=${problem} />
  </div>`;
}

// What a "no" means: more than this one visit.
function followsWords({ similarity, threshold }, wrong) {
  const always = `Faces like this will not be taken for ${wrong.name} any more.`;
  if (similarity === null || similarity < (threshold ?? 1) + VERY_LIKE) return always;
  return `This face is very like the photos of ${wrong.name}. ${always} If it was ${wrong.name} after all, later visits may stay without a name.`;
}

// As it was before: whose face it is said to be again is no longer one that is not theirs (the service sees to that),
// nor is anything said of whoever it was meanwhile. A photo that was made of the visit is made anew.
async function undone(fixed, person, { photos_removed: photos }, onDone) {
  await corrected(fixed, person, false);
  onDone({ ...fixed, person, decision: "known" });
  let lost = "";
  if (photos) {
    try {
      await ask(`/api/v1/people/${person.id}/photos`, { method: "POST", json: { event_id: fixed.event_id, force: true } });
    } catch {
      lost = " The photo that was made of this visit could not be put back.";
    }
  }
  say(`It is ${person.name} again.${lost}`);
}

// The visit has another name from now on; isUnlike: and the face is not taken for that person any more. A visit that goes on is
// another one with each message: what counts is that nobody else has named it otherwise meanwhile.
async function corrected(visit, person, isUnlike = true) {
  for (let attempt = 1; ; attempt++) {
    const etag = await etagOf(visit, person);
    try {
      const json = { person: person?.id ?? null, negative: isUnlike };
      return (await ask(`/api/v1/events/${visit.event_id}`, { method: "PATCH", json, etag })).data;
    } catch (problem) {
      if (problem.status !== 412 || attempt === 3) throw problem;
    }
  }
}

// Of the visit as it is now, if it is still whose it was shown to be, or whose it is to be. Of a visit of nobody's, only
// what was said by hand counts: a camera may have recognised them since.
async function etagOf(visit, person) {
  const { person: shown } = visit;
  const { data, etag } = await keptNow(visit);
  const now = data.events.at(-1)?.person ?? null;
  const isOther = shown ? !isSame(now, shown) : now !== null && data.said_at !== null;
  if (!isOther || isSame(now, person)) return etag;
  const problem = new Problem(412, { code: "corrected_before", detail: `Somebody else was quicker: it is ${now ? (now.name ?? "somebody who was forgotten") : "nobody known"} now.` });
  throw Object.assign(problem, { now });
}

// Who came a moment ago is written down a moment later.
async function keptNow({ event_id, heardAt = -Infinity }) {
  for (;;) {
    try {
      return await ask(`/api/v1/events/${event_id}`);
    } catch (problem) {
      if (problem.code !== "visit_not_found" || performance.now() - heardAt > KEPT_WITHIN_MS) throw problem;
      await new Promise((done) => setTimeout(done, 500));
    }
  }
}
