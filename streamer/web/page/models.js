// Models: which serve, which could, and why others can't; an embedder chosen by hand, or by the service.

import { ask, may, service } from "./api.js";
import { useObserved } from "./observable.js";
import { say, Trouble, useAction, Waiting } from "./parts.js";
import { useStatus } from "./status.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const CHOSEN_WITHIN_MS = 120000; // weights are read, and held to their self-test
const DOES = { detector: "finds faces", embedder: "recognises people" };

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
  const kind = (wanted) => (found?.models ?? []).filter(wanted).sort((one, other) => other.kind.localeCompare(one.kind));
  const others = kind(({ serving, available }) => available && !serving);
  const missing = kind(({ serving, available }) => !available && !serving);
  const cards = (models) => html`<ul class="cards">${models.map((model) => html`<${Model} key=${model.name} model=${model} use=${use} isBusy=${isBusy} />`)}</ul>`;
  return html`<div class="title"><h1>Models</h1>
      ${may("operator") && html`<button type="button" class="auto" disabled=${isBusy} onClick=${() => use("auto")}>Let the service choose</button>`}</div>
    <${Trouble} problem=${problem} /><${Trouble} problem=${refusal} />
    ${isBusy && html`<p class="waiting" role="status">The model is loaded and tried…</p>`}
    ${!found && !problem && html`<${Waiting} />`}
    ${found && html`<${Chosen} models=${found.status.models} />
      <h2>In use</h2>${cards(kind(({ serving }) => serving))}
      <p class="quiet free">${freeWords(found.free)}</p>
      ${others.length > 0 && html`<h2>Others that can be had here</h2>${cards(others)}`}
      ${missing.length > 0 && html`<details class="missing"><summary>${missing.length === 1 ? "1 other that can’t be had here" : `${missing.length} others that can’t be had here`}</summary>
        <p class="hint">Nothing is wrong with these: their weights or what they run on are not on this machine. Each says what it wants.</p>${cards(missing)}</details>`}`}`;
}

// The reason has every figure behind the choice.
function Chosen({ models: { embedder, device, chosen, why } }) {
  const whose = `${chosen ? "Chosen by hand" : "Chosen by the service"}: ${embedder} on ${placeOf(device)}`;
  return why ? html`<details class="chosen"><summary>${whose}</summary><p class="quiet">${why}.</p></details>` : html`<p class="chosen">${whose}.</p>`;
}

const placeOf = (device) => (device === "cpu" ? "the processor" : device);

function freeWords(free) {
  const each = Object.entries(free).map(([device, mib]) => memoryOf(mib, device));
  return each.length ? `Free for models: ${each.join(", ")}.` : "";
}

const sizeOf = (mib) => (mib < 1024 ? `${Math.max(1, Math.round(mib))} MiB` : `${Number((mib / 1024).toPrecision(2))} GiB`);
const memoryOf = (mib, device) => `${sizeOf(mib)} of ${device === "cpu" ? "RAM" : device}`;

// What it takes. Of RAM, of which models use what others left behind, what it takes by itself says more than what it took.
function memoryWords({ device, held_mib: heldMib, memory_mib: memoryMib }) {
  if (heldMib !== null && (device !== "cpu" || memoryMib === null)) return `${memoryOf(heldMib, device)} held`;
  return memoryMib === null ? null : memoryOf(memoryMib, device);
}

// Two figures say all that the next run would say, too.
function timeWords({ kind, item_ms: itemMs, item_ms_from: from }) {
  const each = `${Number(itemMs.toPrecision(2))} ms ${kind === "detector" ? "a picture" : "a face"}`;
  return from === "here" ? `${each}, measured here` : `${each} elsewhere; not measured here`; // as its description has it
}

function Model({ model, use, isBusy }) {
  const { name, kind, serving, available, why_not: whyNot, device, precision, space, licence, item_ms: itemMs } = model;
  const memory = memoryWords(model);
  return html`<li class="card" aria-label=${`Model ${name}`}>
    <div class="title"><h3>${name}</h3><p class="state" data-state=${serving ? "online" : ""}>${serving ? `serves on ${placeOf(device)}` : available ? "can be had" : "not here"}</p></div>
    <dl><dt>Does</dt><dd>${DOES[kind]}</dd>
      ${itemMs !== null && html`<dt>Takes</dt><dd>${timeWords(model)}</dd>`}
      ${memory && html`<dt>Memory</dt><dd class="memory">${memory}</dd>`}
      <dt>Licence</dt><dd>${licence}</dd>
      <dt>Kind</dt><dd>${kind}, ${precision}${space ? `, space ${space}` : ""}</dd></dl>
    ${whyNot && html`<p class="quiet">${whyNot}</p>`}
    ${may("operator") && kind === "embedder" && available && !serving && html`<div class="buttons"><button type="button" disabled=${isBusy} onClick=${() => use(name)}>Use ${name}</button></div>`}
  </li>`;
}
