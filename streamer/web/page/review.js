// Review: kept visits of unknown people, those of one person together; each becomes a person, is ignored or erased, by one
// press, which can be taken back.

import { ask, COMPARED_WITHIN_MS, service } from "./api.js";
import { useClusters } from "./clusters.js";
import { PersonPicker } from "./naming.js";
import { useObserved } from "./observable.js";
import { Denied } from "./denied.js";
import { addressOf, Dialog, Face, say, timeWords, Trouble, useAction, Waiting } from "./parts.js";
import { follow, putOff, takeBack } from "./postponed.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { usePeopleNow } from "./visits.js";

const MOST_FACES = 8; // of a cluster in the list
const MOST_IGNORED = 200; // at once
const UNDO_MS = 8000;
const UNDO_BY_KEYS_MS = 20000; // whoever goes by keys or hears the page needs longer

const faceOf = (eventId) => `/api/v1/events/${eventId}/snapshots/face`;
const visits = (count) => (count === 1 ? "1 visit" : `${count.toLocaleString()} visits`);
const are = (count) => `${visits(count)} ${count === 1 ? "is" : "are"}`;
const spanOf = ({ first_at: first, last_at: last }) => (timeWords(first) === timeWords(last) ? timeWords(first) : `${timeWords(first)} to ${timeWords(last)}`);

export function Review() {
  const review = useClusters();
  const { found, isEmpty, decided, isBusy, problem, refresh, more } = review;
  return html`<div class="title"><h1>Review</h1>
      <p class="quiet" role="status">${found ? `${found.left} unknown ${found.left === 1 ? "person" : "people"}` : ""}</p>
      <button type="button" class="refresh" disabled=${isBusy} onClick=${refresh}>Refresh</button></div>
    ${found?.clusters.length > 0 && html`<p class="hint about"><b>Ignore</b>: not shown here any more; under Events they stay somebody unknown. <b>Erase</b>: faces, pictures and times of these visits are gone for good; whoever comes again is seen as somebody new.</p>`}
    <${Trouble} problem=${problem} />
    <ul class="clusters">${found?.clusters.map((one) => html`<${Cluster} key=${one.id} cluster=${one} what=${decided.get(one.id)} review=${review} />`)}</ul>
    ${isEmpty && found.keep_unknown_h === 0 && html`<p class="empty">Visits of unknown people are not kept here, so there is nothing to review. <code>events.keep_unknown_h</code> says for how many hours they are.</p>`}
    ${isEmpty && found.keep_unknown_h > 0 && html`<p class="empty">Nobody unknown is left to review.</p>`}
    ${isBusy && html`<p class="waiting" role="status">${found?.clusters.length ? "One moment…" : "Visits are compared with one another; many thousands take a minute…"}</p>`}
    ${!isBusy && found?.older > 0 && html`<p class="hint">Compared are the newest visits. ${found.older.toLocaleString()} older ones follow as these are named, ignored or erased.</p>`}
    ${!isBusy && found?.next && html`<button type="button" class="more" onClick=${more}>Show more</button>`}
    ${found?.ignored > 0 && html`<${Ignored} review=${review} />`}`;
}

// A cluster, or, in its place and as high, what was decided on it: what stands around does not move under the pointer.
function Cluster({ cluster, what, review }) {
  const [problem, setProblem] = useState(null);
  const [isNaming, setNaming] = useState(false);
  const place = useRef();
  const isHere = useRef(true);
  const before = useRef();
  useEffect(() => () => void (isHere.current = false), []);
  useEffect(() => setProblem((one) => (one?.at < review.found.readAt ? null : one)), [review.found.readAt]); // not what was sent by refreshing
  useEffect(() => {
    const was = before.current;
    before.current = what?.kind;
    if (was === what?.kind) return; // as it was first shown
    const isMine = !was || !what || what.kind === "ignored" || place.current.contains(document.activeElement); // else one is elsewhere by now
    if (isMine) place.current.querySelector(what ? "button, a" : ".buttons button")?.focus({ preventScroll: true });
  }, [what?.kind]);
  const path = `/api/v1/review/${cluster.id}`;
  const decide = (kind, more) => (setProblem(null), review.decide(cluster.id, { kind, heightPx: place.current?.getBoundingClientRect().height ?? 0, ...more }));
  const undecided = () => review.decide(cluster.id, null);

  async function send(kind, of) {
    const { words, missed, request } = of;
    decide(`${kind} sent`);
    try {
      await ask(`${path}${request.path ?? ""}`, { ...request, keepalive: true });
      decide(kind);
      if (kind === "ignored") review.ignoredMore(1);
      if (!isHere.current && service.value.session) say(`${words}.`); // names are for nobody who comes next
    } catch (refused) {
      undecided();
      if (refused.code === undefined) throw refused; // a fault of this page, for the console
      setProblem(Object.assign(refused, { at: performance.now() }));
      if (!isHere.current) say(`${missed}: ${refused.message}`, { isBad: true });
    }
  }
  function inAMoment(kind, of, event) {
    const afterMs = event.detail === 0 ? UNDO_BY_KEYS_MS : UNDO_MS;
    decide(`${kind} soon`, { ...of, until: Date.now() + afterMs });
    putOff(cluster.id, afterMs, () => send(kind, of));
  }
  const erase = (event) => inAMoment("erased", { words: `${are(cluster.count)} erased`, missed: `${visits(cluster.count)} not erased`, request: { method: "DELETE" } }, event);
  const ignore = () => follow(send("ignored", { words: `${are(cluster.count)} ignored`, missed: `${visits(cluster.count)} not ignored`, request: { method: "POST", path: "/ignore" } }));
  const isOne = (person, event) => inAMoment("named", { person, words: `${visits(cluster.count)} named: ${person.name}`, missed: `${visits(cluster.count)} not named`, request: { method: "POST", path: "/person", json: { person: person.id } } }, event);
  const named = (person, count) => (setNaming(false), decide("named", { person, named: count }));
  const undo = () => (what.kind.endsWith(" soon") ? takeBack(cluster.id) && undecided() : follow(putBack()));
  async function putBack() {
    decide("back sent"); // a second press finds no button
    try {
      await ask(`${path}/ignore`, { method: "DELETE", keepalive: true });
      review.ignoredMore(-1);
      undecided();
    } catch (refused) {
      decide("ignored");
      if (refused.code === undefined) throw refused; // a fault of this page, for the console
      say(`${visits(cluster.count)} still ignored: ${refused.message}`, { isBad: true });
    }
  }
  if (what) return html`<li ref=${place} class="decided" data-id=${cluster.id} style=${{ minHeight: `${what.heightPx}px` }}><${Decided} what=${what} count=${cluster.count} undo=${undo} /></li>`;
  return html`<li ref=${place} class="cluster" data-id=${cluster.id} aria-label=${`Somebody unknown, ${visits(cluster.count)}`}>
    <${Shown} cluster=${cluster} problem=${problem} review=${review} name=${() => setNaming(true)} isOne=${isOne} ignore=${ignore} erase=${erase} />
    ${isNaming && html`<${ClusterNaming} cluster=${cluster} onDone=${named} onClose=${() => setNaming(false)} />`}
  </li>`;
}

function Shown({ cluster, problem, review, name, isOne, ignore, erase }) {
  const { count, cameras, event_ids: eventIds, candidates } = cluster;
  const [likely] = usePeopleNow(candidates);
  const isGone = ["cluster_not_found", "cluster_changed"].includes(problem?.code);
  const more = count - MOST_FACES;
  return html`<${Face} src=${faceOf(eventIds[0])} name="Somebody unknown" isLarge />
    <div class="told"><p class="name">${visits(count)}</p><p>${cameras.join(", ")} · ${spanOf(cluster)}</p>
      ${likely && html`<p class="likely">Looks like <a href=${addressOf("people", likely.id)}>${likely.name}</a></p>`}</div>
    ${count > 1 && html`<div class="faces">${eventIds.slice(1, MOST_FACES).map((one) => html`<${Face} key=${one} src=${faceOf(one)} name="" />`)}
      ${more > 0 && html`<span class="face rest">+${more.toLocaleString()}</span>`}</div>`}
    <${Trouble} problem=${problem} />
    <div class="buttons">
      ${isGone && html`<button type="button" onClick=${review.refresh}>Refresh</button>`}
      ${likely && html`<button type="button" class="main it-is" onClick=${(event) => isOne(likely, event)}>It is ${likely.name}</button>`}
      <button type="button" class=${`${likely ? "" : "main"} who-is-this`} onClick=${name}>Who is this?</button>
      <button type="button" class="ignore" onClick=${ignore}>Ignore</button>
      <button type="button" class="danger" onClick=${erase}>Erase ${visits(count)}</button>
    </div>`;
}

function Decided({ what, count, undo }) {
  const { answers } = useObserved(service);
  const { kind, until } = what;
  const [person] = usePeopleNow(what.person ? [what.person] : []);
  const name = person?.name ?? "somebody who was erased";
  const soon = { "erased soon": `${are(count)} erased`, "named soon": `${are(count)} named ${name}` }[kind];
  const sent = { "erased sent": "being erased…", "ignored sent": "being ignored…", "named sent": "being named…", "back sent": "being put back…" }[kind];
  if (sent) return html`<p class="quiet" role="status">${answers ? `${are(count)} ${sent}` : `The service does not answer. ${are(count)} ${sent.replace("being ", "").replace("…", "")} once it does.`}</p>`;
  if (kind === "erased") return html`<p class="quiet" role="status">${are(count)} erased.</p>`;
  if (kind === "named") return html`<p role="status">${visits(what.named ?? count)} named: ${name}</p>${person && html`<a class="button" href=${addressOf("people", person.id)}>Show ${name}</a>`}`;
  const told = kind === "ignored" ? html`${are(count)} ignored: not shown here any more.` : html`${soon} <${Countdown} until=${until} />.`;
  return html`<p>${told}</p><button type="button" class="undo" aria-label=${`Undo: ${soon ? `${soon} in a moment` : `${are(count)} ignored`}`} onClick=${undo}>Undo</button>`;
}

function Countdown({ until }) {
  const left = () => Math.max(1, Math.ceil((until - Date.now()) / 1000));
  const [seconds, setSeconds] = useState(left());
  useEffect(() => {
    const timer = setInterval(() => setSeconds(left()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return html`<span class="countdown">in ${seconds} s</span>`;
}

// Those that are not to be reviewed, folded, as long as one of their visits is kept.
function Ignored({ review }) {
  const { ignored: count } = review.found;
  const [isOpen, setOpen] = useState(false);
  const [{ clusters, next }, setListed] = useState({});
  const [look, isBusy, problem] = useAction(async (before = [], after = null) => {
    const query = new URLSearchParams({ ignored: "true", limit: String(MOST_IGNORED), ...(after && { after }) });
    const { data } = await ask(`/api/v1/review?${query}`, { withinMs: COMPARED_WITHIN_MS });
    setListed({ ...data, clusters: [...before, ...data.clusters.filter(({ id }) => !before.some((one) => one.id === id))] });
  });
  const [again, isSending, refused] = useAction(async (cluster) => {
    await ask(`/api/v1/review/${cluster.id}/ignore`, { method: "DELETE" });
    review.ignoredMore(-1);
    review.reviewedAgain(cluster);
    say(`${are(cluster.count)} to be reviewed again.`);
  });
  useEffect(() => void (isOpen && look()), [isOpen, count]);
  return html`<details class="ignored" onToggle=${({ currentTarget }) => setOpen(currentTarget.open)}>
    <summary>Ignored (${count.toLocaleString()})</summary>
    <p class="hint">They are told of under Events as somebody unknown. Once nothing of them is kept any more, they are forgotten, and may come to Review again.</p>
    ${isBusy && !clusters && html`<${Waiting} />`}
    <${Trouble} problem=${problem ?? refused} />
    <ul class="clusters">${clusters?.map((one) => html`<li key=${one.id} class="ignored-one" data-id=${one.id} aria-label=${`Ignored, ${visits(one.count)}`}>
      <${Face} src=${faceOf(one.event_ids[0])} name="Somebody ignored" />
      <div class="told"><p class="name">${visits(one.count)}</p><p>${one.cameras.join(", ")} · ${spanOf(one)}</p></div>
      <button type="button" class="again" disabled=${isSending} onClick=${() => again(one)}>Review again</button></li>`)}</ul>
    ${next && html`<button type="button" class="more" disabled=${isBusy} onClick=${() => look(clusters, next)}>Show more</button>`}
  </details>`;
}

function ClusterNaming({ cluster, onDone, onClose }) {
  const [eventIds, setEventIds] = useState(cluster.event_ids);
  const [left, setLeft] = useState(new Set()); // visits that are somebody else's
  const [last, setLast] = useState(null);
  const [all, isLooking, missing] = useAction(async () => setEventIds((await ask(`/api/v1/review/${cluster.id}`)).data.event_ids));
  const [run, isBusy, problem] = useAction(async (whom, force = false) => {
    setLast(whom);
    const json = { ...whom, without: [...left], force };
    const { data } = await ask(`/api/v1/review/${cluster.id}/person`, { method: "POST", json });
    say(`${data.person.name}: ${visits(data.event_ids.length)} named, and recognised from now on.`);
    onDone(data.person, data.event_ids.length);
  });
  function toggle(eventId) {
    const changed = new Set(left);
    if (!changed.delete(eventId)) changed.add(eventId);
    setLeft(changed);
  }
  const more = cluster.count - eventIds.length;
  return html`<${Dialog} title="Who is this?" onClose=${onClose}>
    ${cluster.count > 1 && html`<p class="quiet">Press a face that isn’t this person’s to leave it out.</p>`}
    <div class=${`faces ${eventIds.length > 1 ? "many" : "one"}`}>${eventIds.map((one, number) => html`<button type="button" class="picture" key=${one} aria-pressed=${String(!left.has(one))} disabled=${isBusy}
      aria-label=${`Face ${number + 1}, ${left.has(one) ? "left out" : "counts"}`} onClick=${() => toggle(one)}><${Face} src=${faceOf(one)} name="" /></button>`)}</div>
    ${more > 0 && html`<div><button type="button" class="all" disabled=${isBusy || isLooking} onClick=${all}>Show the other ${more.toLocaleString()}</button></div>`}
    <${PersonPicker} label="Name" likely=${cluster.candidates} isBusy=${isBusy} onPick=${({ id }) => run({ person: id })} onNew=${(name) => run({ name })} />
    ${isBusy && html`<${Waiting} />`}
    <${Trouble} problem=${problem ?? missing} />
    <${Denied} problem=${problem} person=${last?.person && { id: last.person, name: "them" }} />
    ${problem?.code === "enrolled_already" && html`<button type="button" disabled=${isBusy} onClick=${() => run(last, true)}>It is somebody else: enrol all the same</button>`}
  </${Dialog}>`;
}
