// The service: what of it runs and what waits; and from which similarity on somebody is named, with the error rates behind it.

import { ask, may, service } from "./api.js";
import { useObserved } from "./observable.js";
import { addressOf, lasted, say, Trouble, useAction, Waiting } from "./parts.js";
import { count, Rates, share } from "./rates.js";
import { useStatus } from "./status.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const COMPUTED_WITHIN_MS = 300000; // everybody is compared with everybody
const STATES = {
  used: ["online", "in use"],
  outgrown: ["trouble", "outgrown"],
  stale: ["trouble", "out of date"],
  set_aside: ["trouble", "set aside"],
  overridden: ["", "set by hand"],
  none: ["", "of the model"],
};
const RATES = [100, 1000, 10000, 100000];

export function Service() {
  return html`<h1>Service</h1><${Running} />
    <h2>From when on somebody is named</h2><${Thresholds} />`;
}

function Running() {
  const [status, problem] = useStatus();
  const { answers } = useObserved(service);
  if (!status) return problem ? service.value.answers && html`<${Trouble} problem=${problem} />` : html`<${Waiting} />`;
  const parts = Object.entries(status.parts);
  const shown = parts.filter(([name, { ok }]) => !ok || !name.startsWith("camera ")).sort(([, one], [, other]) => one.ok - other.ok);
  const states = Object.values(status.cameras);
  const waiting = Object.values(status.queues).reduce((sum, one) => sum + one, 0);
  const { waiting: messages, oldest_s: oldestS } = status.outbox;
  return html`<section class="card service" aria-label="What runs">
    <div class="title">${answers
        ? html`<p class="state" data-state=${status.ready ? "online" : "trouble"}>${status.ready ? "All of it runs" : "A part of it does not run"}</p>`
        : html`<p class="state" data-state="offline">It does not answer: what follows was so before</p>`}</div>
    <ul class="parts">${shown.map(([name, { ok, reason }]) => html`<li key=${name}>
      <span class="state" data-state=${ok ? "online" : "offline"}>${name}</span>${ok ? "" : html` <span>${reason}</span>`}</li>`)}</ul>
    <dl><dt>Cameras</dt><dd><a href=${addressOf("cameras")}>${states.filter((one) => one === "online").length} of ${states.length} online</a></dd>
      <dt>Gallery</dt><dd>${count(status.people)} people</dd>
      <dt>Faces and pictures</dt><dd>${waiting ? `${count(waiting)} wait for a model` : "none waits"}</dd>
      <dt>Messages</dt><dd>${messages ? `${count(messages)} wait for the broker, the oldest for ${Math.round(oldestS)} s` : "none waits for the broker"}</dd>
      <dt>Version</dt><dd>${status.version}, up for ${lasted(status.uptime_s)}</dd></dl>
  </section>`;
}

function Thresholds() {
  const { again } = useObserved(service);
  const [spaces, setSpaces] = useState(null);
  const [found, setFound] = useState(null);
  const [look, , problem] = useAction(async () => setSpaces((await ask("/api/v1/calibration")).data.spaces));
  const [compute, isBusy, refusal] = useAction(async (fpir, dryRun) => {
    if (dryRun) setFound(null);
    const json = { fpir, dry_run: dryRun };
    setFound((await ask("/api/v1/calibration", { method: "POST", json, withinMs: COMPUTED_WITHIN_MS })).data);
    say(dryRun ? "Computed; nothing is changed yet." : "The service names people by these thresholds from now on.");
    if (dryRun) return;
    await look();
  });
  useEffect(() => void look(), [again]);
  return html`<p class="quiet">A face is somebody’s from a similarity on: higher, and fewer strangers are taken for somebody, but more of one’s own people are missed.</p>
    <${Trouble} problem=${problem} />
    ${!spaces && !problem && html`<${Waiting} />`}
    <ul class="cards spaces">${spaces && Object.entries(spaces).map(([space, one]) => html`<${Space} key=${space} space=${space} standing=${one} />`)}</ul>
    ${may("operator") && html`<${Asked} compute=${compute} isBusy=${isBusy} />`}
    ${isBusy && html`<p class="waiting" role="status">Everybody is compared with everybody else…</p>`}
    <${Trouble} problem=${refusal} />
    ${found && html`<${Computed} found=${found} keep=${() => compute(found.fpir, false)} isBusy=${isBusy} />`}`;
}

function Space({ space, standing }) {
  const [state, words] = STATES[standing.state] ?? ["", standing.state];
  return html`<li class="card" aria-label=${`Thresholds of ${space}`}>
    <div class="title"><h3>${space}</h3><p class="state" data-state=${state}>${words}</p></div>
    <dl><dt>Named from</dt><dd>${standing.threshold.toFixed(3)}</dd>
      <dt>Strangers named</dt><dd>${standing.expected_fpir === null ? "nobody can tell" : `about ${share(standing.expected_fpir)}`}</dd></dl>
    <p class="quiet">${standing.told}</p>
  </li>`;
}

function Asked({ compute, isBusy }) {
  const [strangers, setStrangers] = useState(1000);
  function send(event) {
    event.preventDefault();
    compute(1 / strangers, true);
  }
  return html`<form class="filters asked" onSubmit=${send}>
    <label>At most one stranger is named in
      <select name="strangers" value=${strangers} onChange=${(event) => setStrangers(Number(event.currentTarget.value))}>
        ${RATES.map((one) => html`<option value=${one}>${count(one)}</option>`)}</select></label>
    <button type="submit" disabled=${isBusy}>Compute the thresholds</button>
    <span class="quiet">Nothing is changed by this.</span>
  </form>`;
}

function Computed({ found, keep, isBusy }) {
  const { spaces, not_calibrated: failed, look_alikes: alike, written } = found;
  return html`<section class="computed" aria-label="What was computed">
    ${Object.entries(spaces).map(([space, one]) => html`<${Rates} key=${space} space=${space} found=${one} />`)}
    ${Object.entries(failed).map(([space, { why }]) => html`<p key=${space} class="quiet">${space}: ${why}</p>`)}
    ${alike.length > 0 && html`<h3>Most alike</h3><ul class="report">${alike.map(({ people: [one, other], space, similarity, limits }) => html`<li>
      <a href=${addressOf("people", one.id)}>${one.name}</a> and <a href=${addressOf("people", other.id)}>${other.name}</a>:
      ${" "}${similarity.toFixed(3)} in ${space}${limits ? ", told apart by the margin alone" : ""}</li>`)}</ul>`}
    ${written
      ? html`<p class="quiet">These thresholds are in use: at most ${share(found.fpir)} of strangers was asked for.</p>`
      : html`<div class="buttons"><button type="button" class="main keep" disabled=${isBusy} onClick=${keep}>Use these thresholds</button></div>`}
  </section>`;
}
