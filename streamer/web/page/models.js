// Models: which serve, which could, and why others can't; an embedder chosen by hand, or by the service.

import { ask, may, service } from "./api.js";
import { useObserved } from "./observable.js";
import { say, Trouble, useAction } from "./parts.js";
import { useStatus } from "./status.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const CHOSEN_WITHIN_MS = 120000; // weights are read, and held to their self-test

export function Models() {
  const { again } = useObserved(service);
  const [found, setFound] = useState(null); // {models, free, status}
  const [look, , problem] = useAction(async () => {
    const [{ data }, { data: status }] = await Promise.all([ask("/api/v1/models"), ask("/api/v1/service")]);
    setFound({ models: data.models, free: data.free_mib, status });
  });
  const [use, isBusy, refusal] = useAction(async (name) => {
    const { data } = await ask(`/api/v1/models/${encodeURIComponent(name)}/use`, { method: "POST", withinMs: CHOSEN_WITHIN_MS });
    say(`${data.serving} serves.`);
    await look();
  });
  const [status] = useStatus();
  const serving = status && JSON.stringify(status.models); // may change by itself
  useEffect(() => void look(), [again]);
  useEffect(() => void (serving && found && serving !== JSON.stringify(found.status.models) && look()), [serving]);
  const shown = found && [...found.models].sort((one, other) => other.serving - one.serving || other.available - one.available);
  return html`<div class="title"><h1>Models</h1>
      ${found && html`<p class="quiet">${found.status.models.detector} finds faces, ${found.status.models.embedder} tells them apart · ${found.status.people} people</p>`}
      ${may("operator") && html`<button type="button" class="auto" disabled=${isBusy} onClick=${() => use("auto")}>Let the service choose</button>`}</div>
    <${Trouble} problem=${problem} /><${Trouble} problem=${refusal} />
    ${isBusy && html`<p class="waiting" role="status">The model is loaded and tried…</p>`}
    ${found && html`<p class="chosen">${choiceWords(found.status.models)} <span class="quiet free">${freeWords(found.free)}</span></p>`}
    ${!found && !problem && html`<p class="waiting">One moment…</p>`}
    <ul class="cards">${shown?.map((model) => html`<${Model} key=${model.name} model=${model} use=${use} isBusy=${isBusy} />`)}</ul>`;
}

function choiceWords({ embedder, device, chosen, why }) {
  const whose = chosen ? "Chosen by hand" : "Chosen by the service";
  return why ? `${whose}: ${why}.` : `${whose}: ${embedder} on ${device}.`;
}

function freeWords(free) {
  const each = Object.entries(free).map(([device, mib]) => memoryOf(mib, device));
  return each.length ? `Free: ${each.join(", ")}.` : "";
}

const sizeOf = (mib) => (mib < 10240 ? `${Math.round(mib).toLocaleString()} MiB` : `${Math.round(mib / 1024).toLocaleString()} GiB`);
const memoryOf = (mib, device) => `${sizeOf(mib)} of ${device === "cpu" ? "RAM" : device}`;

// What it takes. Of RAM, of which models use what others left behind, what it takes by itself says more than what it took.
function memoryWords({ device, held_mib: heldMib, memory_mib: memoryMib }) {
  if (heldMib !== null && (device !== "cpu" || memoryMib === null)) return `${memoryOf(heldMib, device)} held`;
  return memoryMib === null ? null : memoryOf(memoryMib, device);
}

function Model({ model, use, isBusy }) {
  const { name, kind, serving, available, why_not: whyNot, device, precision, space, licence, item_ms: itemMs } = model;
  const memory = memoryWords(model);
  const state = serving ? "online" : available ? "" : "offline";
  return html`<li class="card" aria-label=${`Model ${name}`}>
    <div class="title"><h2>${name}</h2><p class="state" data-state=${state}>${serving ? `serves on ${device}` : available ? "can be had" : "can’t be had"}</p></div>
    ${whyNot && html`<p class="quiet">${whyNot}</p>`}
    <dl><dt>Kind</dt><dd>${kind}, ${precision}</dd>
      ${space && html`<dt>Space</dt><dd>${space}</dd>`}
      ${itemMs !== null && html`<dt>Takes</dt><dd>${itemMs.toFixed(1)} ms ${kind === "detector" ? "a picture" : "a face"}</dd>`}
      ${memory && html`<dt>Memory</dt><dd class="memory">${memory}</dd>`}
      <dt>Licence</dt><dd>${licence}</dd></dl>
    ${may("operator") && kind === "embedder" && available && !serving && html`<div class="buttons"><button type="button" disabled=${isBusy} onClick=${() => use(name)}>Use ${name}</button></div>`}
  </li>`;
}
