// Review: kept visits of unknown people, those of one person together; each becomes a person, is ignored or erased.

import { ask, service } from "./api.js";
import { PersonPicker } from "./naming.js";
import { useObserved } from "./observable.js";
import { Dialog, Face, say, timeWords, Trouble, useAction, Waiting } from "./parts.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const PAGE = 20;
const COMPARED_WITHIN_MS = 180000; // thousands of visits are compared, the first time and after each change
const MOST_FACES = 8; // of a cluster in the list

const faceOf = (eventId) => `/api/v1/events/${eventId}/snapshots/face`;
const visits = (count) => (count === 1 ? "1 visit" : `${count} visits`);

// {clusters, left, next, keep_unknown_h} as the service has them, and what was read last.
function useClusters() {
  const { again } = useObserved(service);
  const [found, setFound] = useState(null);
  const [look, isBusy, problem] = useAction(async (before, after) => {
    const query = new URLSearchParams({ limit: String(PAGE), ...(after && { after }) });
    const { data } = await ask(`/api/v1/review?${query}`, { withinMs: COMPARED_WITHIN_MS });
    setFound({ ...data, clusters: [...before, ...data.clusters] });
  });
  useEffect(() => void look([], null), [again]);
  const without = (id) => setFound((now) => ({ ...now, left: now.left - 1, clusters: now.clusters.filter((one) => one.id !== id) }));
  return { found, isBusy, problem, without, look: () => look([], null), more: () => look(found.clusters, found.next) };
}

export function Review() {
  const { found, isBusy, problem, without, look, more } = useClusters();
  const isEmpty = found && !isBusy && found.clusters.length === 0 && !found.next;
  return html`<div class="title"><h1>Review</h1>
      <p class="quiet" role="status">${found ? `${found.left} unknown ${found.left === 1 ? "person" : "people"}` : ""}</p>
      <button type="button" disabled=${isBusy} onClick=${look}>Look again</button></div>
    <${Trouble} problem=${problem} />
    ${isEmpty && found.keep_unknown_h === 0 && html`<p class="empty">Visits of unknown people are not kept here, so there is nothing to review. <code>events.keep_unknown_h</code> says for how many hours they are.</p>`}
    ${isEmpty && found.keep_unknown_h > 0 && html`<p class="empty">Nobody unknown is left to review.</p>`}
    <ul class="clusters">${found?.clusters.map((one) => html`<${Cluster} key=${one.id} cluster=${one} without=${without} look=${look} />`)}</ul>
    ${isBusy && html`<p class="waiting" role="status">${found?.clusters.length ? "One moment…" : "Visits are compared with one another; many thousands take a minute…"}</p>`}
    ${!isBusy && found?.older > 0 && html`<p class="hint">Compared are the newest visits. ${found.older.toLocaleString()} older ones follow as these are named, ignored or erased.</p>`}
    ${!isBusy && found?.next && html`<button type="button" class="more" onClick=${more}>Show more</button>`}`;
}

function Cluster({ cluster, without, look }) {
  const { id, count, cameras, first_at: first, last_at: last, event_ids: eventIds } = cluster;
  const [isNaming, setNaming] = useState(false);
  const [decide, isBusy, problem] = useAction(async (words, path, options) => {
    await ask(`/api/v1/review/${id}${path}`, { ...options });
    say(words);
    without(id);
  });
  const isGone = ["cluster_not_found", "cluster_changed"].includes(problem?.code);
  const span = first === last ? timeWords(first) : `${timeWords(first)} to ${timeWords(last)}`;
  return html`<li class="cluster" data-id=${id} aria-label=${`Somebody unknown, ${visits(count)}`}>
    <${Face} src=${faceOf(eventIds[0])} name="Somebody unknown" isLarge />
    <div class="told"><p class="name">${visits(count)}</p><p>${cameras.join(", ")} · ${span}</p>
      <div class="faces">${eventIds.slice(1, MOST_FACES).map((one) => html`<${Face} key=${one} src=${faceOf(one)} name="" />`)}</div>
      ${isBusy && html`<p class="quiet" role="status">One moment…</p>`}
      <${Trouble} problem=${problem} />
      <div class="buttons">
        ${isGone && html`<button type="button" onClick=${look}>Look again</button>`}
        <button type="button" class="main who-is-this" disabled=${isBusy} onClick=${() => setNaming(true)}>Who is this?</button>
        <button type="button" class="ignore" disabled=${isBusy} onClick=${() => decide("Ignored: not shown here any more.", "/ignore", { method: "POST" })}>Ignore</button>
        <button type="button" class="danger" disabled=${isBusy} onClick=${() => decide(`${visits(count)} erased.`, "", { method: "DELETE" })}>Erase ${visits(count)}</button>
      </div></div>
    ${isNaming && html`<${ClusterNaming} cluster=${cluster} onDone=${() => (setNaming(false), without(id))} onClose=${() => setNaming(false)} />`}
  </li>`;
}

function ClusterNaming({ cluster, onDone, onClose }) {
  const [left, setLeft] = useState(new Set()); // visits that are somebody else's
  const [last, setLast] = useState(null);
  const [run, isBusy, problem] = useAction(async (whom, force = false) => {
    setLast(whom);
    const json = { ...whom, without: [...left], force };
    const { data } = await ask(`/api/v1/review/${cluster.id}/person`, { method: "POST", json });
    say(`${data.person.name}: ${visits(data.event_ids.length)} named, and recognised from now on.`);
    onDone();
  });
  function toggle(eventId) {
    const changed = new Set(left);
    if (!changed.delete(eventId)) changed.add(eventId);
    setLeft(changed);
  }
  return html`<${Dialog} title="Who is this?" onClose=${onClose}>
    <p class="quiet">${cluster.event_ids.length > 1 ? "A face that is somebody else’s can be left out: press it." : ""}</p>
    <div class="faces">${cluster.event_ids.map((one, number) => html`<button type="button" class="picture" key=${one} aria-pressed=${String(!left.has(one))} disabled=${isBusy}
      aria-label=${`Face ${number + 1}, ${left.has(one) ? "left out" : "counts"}`} onClick=${() => toggle(one)}><${Face} src=${faceOf(one)} name="" /></button>`)}</div>
    <${PersonPicker} label="Name" likely=${cluster.candidates} isBusy=${isBusy} onPick=${({ id }) => run({ person: id })} onNew=${(name) => run({ name })} />
    ${isBusy && html`<${Waiting} />`}
    <${Trouble} problem=${problem} />
    ${problem?.code === "enrolled_already" && html`<button type="button" disabled=${isBusy} onClick=${() => run(last, true)}>It is somebody else: enrol all the same</button>`}
  </${Dialog}>`;
}
