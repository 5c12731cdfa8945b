// The service: what of it runs and what waits; and from which similarity on somebody is named, with the error rates behind it.

import { ask, may, service } from "./api.js";
import { useObserved } from "./observable.js";
import { addressOf, lasted, say, Trouble, useAction, Waiting } from "./parts.js";
import { count, inHundred, rateAt, Rates, share } from "./rates.js";
import { useStatus } from "./status.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const COMPUTED_WITHIN_MS = 300000; // everybody is compared with everybody
const STATES = {
  used: ["online", "in use", "Worked out for your people."],
  outgrown: ["trouble", "outgrown", "Worked out for fewer people than there are now: compute it again."],
  stale: ["trouble", "out of date", "Worked out under other settings or models: compute it again."],
  set_aside: ["trouble", "set aside", "What was worked out is not used, for faces are compared in another way now: compute it again."],
  overridden: ["", "set by hand", "Set by hand in the configuration (gallery.threshold). What was worked out for your people is not used."],
  none: ["", "the model’s own", "The model’s own figure, which was not worked out for your people."],
};
// What each part of the service is, to whoever has not built it.
const PARTS = {
  models: "Recognition",
  rerank: "Comparing of faces",
  broker: "Line to other programs (MQTT)",
  outbox: "Messages kept until they are sent",
  gallery: "People and photos",
  tokens: "Who may sign in",
  certificate: "Certificate (https)",
  load: "Load",
  classifier: "Trained classifier",
  triton: "Triton server",
  configuration: "Settings",
  "kept visits": "Kept visits",
  "home assistant": "Home Assistant",
  "rtsp ingest": "Cameras that send by themselves",
};
const RATES = [100, 1000, 10000, 100000];

export function Service() {
  return html`<h1>Service</h1><${Running} />
    <h2>How alike two faces must be</h2><${Thresholds} />`;
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
    ${answers
      ? html`<p class="state headline" data-state=${status.ready ? "online" : "trouble"}>${status.ready ? "All of it runs" : "A part of it does not run"}</p>`
      : html`<p class="state headline" data-state="offline">It does not answer: what follows was so before</p>`}
    <ul class="parts">${shown.map(([name, { ok, reason }]) => html`<li key=${name}>
      <span class="state" data-state=${ok ? "online" : "offline"}>${PARTS[name] ?? name}</span>${ok ? "" : html` <span>${reason}</span>`}</li>`)}</ul>
    <dl><dt>Cameras</dt><dd><a href=${addressOf("cameras")}>${states.filter((one) => one === "online").length} of ${states.length} online</a></dd>
      <dt>People</dt><dd><a href=${addressOf("people")}>${count(status.people)} enrolled</a></dd>
      <dt>Still to be looked at</dt><dd>${waiting ? `${count(waiting)} faces and pictures` : "nothing"}</dd>
      <dt>Still to be sent</dt><dd>${messages ? `${count(messages)} messages, the oldest for ${lasted(oldestS)}` : "no message"}</dd>
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
  return html`<p class="quiet">How alike a face and a photo are is a number up to 1, and somebody is named from a threshold on. The higher it is, the fewer strangers are taken for somebody, and the more of your own people are missed.</p>
    <${Trouble} problem=${problem} />
    ${!spaces && !problem && html`<${Waiting} />`}
    <ul class="cards spaces">${spaces && Object.entries(spaces).map(([space, one]) => html`<${Space} key=${space} space=${space} standing=${one} computed=${found?.spaces[space]} />`)}</ul>
    ${may("operator") && html`<${Asked} compute=${compute} isBusy=${isBusy} />`}
    ${isBusy && html`<p class="waiting" role="status">Everybody is compared with everybody else…</p>`}
    <${Trouble} problem=${refusal} />
    ${found && html`<${Computed} found=${found} spaces=${spaces} keep=${() => compute(found.fpir, false)} isBusy=${isBusy} />`}`;
}

function Space({ space, standing, computed }) {
  const [state, words, why] = STATES[standing.state] ?? ["", standing.state, ""];
  const { threshold, expected_fpir: fpir, expected_fnir: fnir, told } = standing;
  const strangers = fpir ?? (computed ? rateAt(computed.curve, threshold, "fpir") : null);
  const missed = fnir ?? (computed ? rateAt(computed.curve, threshold, "fnir") : null);
  const unknown = may("operator") && !computed ? "not known before it is computed, below" : "not known";
  return html`<li class="card" aria-label=${`Thresholds of ${space}`}>
    <div class="title"><h3>${space}</h3><p class="state" data-state=${state}>${words}</p></div>
    <dl><dt>Named from</dt><dd>${threshold.toFixed(3)}</dd>
      <dt>Your people missed</dt><dd class="missed">${missed === null ? unknown : `${inHundred(missed)} of their faces`}</dd>
      <dt>Strangers named</dt><dd>${strangers === null ? unknown : `about ${share(strangers)}`}</dd></dl>
    <p>${why}</p>
    <details><summary>In figures</summary><p class="quiet">${told}</p></details>
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

function Computed({ found, spaces: standings, keep, isBusy }) {
  const { spaces, not_calibrated: failed, look_alikes: alike, written } = found;
  return html`<section class="computed" aria-label="What was computed">
    ${Object.entries(spaces).map(([space, one]) => html`<${Rates} key=${space} space=${space} found=${one} inUse=${written ? undefined : standings?.[space]?.threshold} />`)}
    ${Object.entries(failed).map(([space, { why }]) => html`<p key=${space} class="quiet">${space}: ${why}</p>`)}
    ${alike.length > 0 && html`<h3>Most alike</h3><ul class="report">${alike.map(({ people: [one, other], space, similarity, limits }) => html`<li>
      <a href=${addressOf("people", one.id)}>${one.name}</a> and <a href=${addressOf("people", other.id)}>${other.name}</a>:
      ${" "}${similarity.toFixed(3)} in ${space}${limits ? ", told apart by the margin alone" : ""}</li>`)}</ul>`}
    ${written
      ? html`<p class="quiet">These thresholds are in use: at most ${share(found.fpir)} of strangers was asked for.</p>`
      : html`<div class="buttons"><button type="button" class="main keep" disabled=${isBusy} onClick=${keep}>Use these thresholds</button></div>`}
  </section>`;
}
