// Cameras: the state of each and why, how soon its pictures are looked at, and what may be switched; a second look says what they send.

import { REASONS, TROUBLES } from "/assets/states.js";
import { ask, may, service } from "./api.js";
import { useCameras } from "./live.js";
import { addressOf, Dialog, lasted, say, Trouble, useAction } from "./parts.js";
import { useStatus } from "./status.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const WAYS = { keyframes: "by its keyframes, while nothing moves", reference: "leaving out what can be, while nothing moves", all: "by every picture" };
const ENOUGH = 20; // pictures: fewer say nothing of the slowest

export function Cameras() {
  const [cameras, problem, look] = useCameras();
  const [status] = useStatus();
  return html`<h1>Cameras</h1>
    ${service.value.answers && html`<${Trouble} problem=${problem} />`}
    ${cameras === null && !problem && html`<p class="waiting">One moment…</p>`}
    ${cameras?.length === 0 && html`<p class="empty">There is no camera yet. Add one: <code>whosthere cameras add door rtsp://…</code></p>`}
    <ul class="cards">${cameras?.map((camera) => html`<${Camera} key=${camera.name} camera=${camera} watched=${status?.watched[camera.name]} latency=${status?.latency?.[camera.name]} look=${look} />`)}</ul>`;
}

// A service that is away says nothing of its cameras.
const stateOf = ({ state, reason }) => (!service.value.answers ? ["lost", "not known now"] : state !== "online" ? [state, state] : [reason ? "trouble" : state, TROUBLES[reason] ?? state]);

function Camera({ camera, watched, latency, look }) {
  const [shown, words] = stateOf(camera);
  const { name, state, reason, url, enabled, snapshots, publish_to: publishTo } = camera;
  const [isLooking, setLooking] = useState(false);
  const [change, isBusy, problem] = useAction(async (json, words) => {
    await ask(`/api/v1/cameras/${name}`, { method: "PATCH", json });
    say(`${name}: ${words}`);
    look();
  });
  return html`<li class="card" aria-label=${`Camera ${name}`}>
    <div class="title"><h2>${enabled ? html`<a href=${addressOf("live", name)}>${name}</a>` : name}</h2>
      <p class="state" data-state=${shown}>${words}</p></div>
    ${state !== "online" && reason && html`<p>${REASONS[reason] ?? reason}</p>`}
    <dl><dt>From</dt><dd><code>${publishTo ?? url}</code></dd>
      <${Looks} camera=${camera} latency=${latency} />
      ${watched && html`<dt>Watched</dt><dd><details><summary>${watched.reason === "learning" ? "how is not known yet" : WAYS[watched.way]}</summary>${watched.words}.</details></dd>`}
      <dt>Visits</dt><dd>${snapshots ? "kept with pictures" : "not kept"}</dd></dl>
    <${Trouble} problem=${problem} />
    ${may("operator") && html`<div class="buttons">
      <button type="button" class="enable" disabled=${isBusy} onClick=${() => change({ enabled: !enabled }, enabled ? "disabled." : "enabled.")}>${enabled ? "Disable" : "Enable"}</button>
      <button type="button" disabled=${isBusy} onClick=${() => change({ snapshots: !snapshots }, snapshots ? "visits are not kept any more." : "visits are kept.")}>${snapshots ? "Keep no visits" : "Keep visits"}</button>
      <button type="button" class="probe" onClick=${() => setLooking(true)}>What it sends</button></div>`}
    ${isLooking && html`<${Probe} name=${name} onClose=${() => setLooking(false)} />`}
  </li>`;
}

// They change every few seconds, and are read where one looks: no part of this is said by itself.
function Looks({ camera: { state, fps, pace }, latency }) {
  const { looked_at_per_s: perSecond = null, dropped, within_s: withinS, last_picture_s: lastS } = latency ?? {};
  const isOnline = state === "online" && service.value.answers;
  const most = pace === "fastest" ? "as fast as it can be played" : `${fps} at most`;
  return html`<dt>Pictures</dt><dd>${isOnline && perSecond !== null ? `${tenths(perSecond)} a second looked at, ${most}` : `${fps} a second${pace === "fastest" ? " of it" : " at most"} are looked at`}</dd>
    ${latency && isOnline && pace !== "fastest" && html`<dt>Looked at</dt><dd class="delay">${delayWords(latency)}</dd>`}
    ${latency && isOnline && dropped > 0 && html`<dt>Left out</dt><dd>${dropped} in the last ${withinS < 59 ? `${Math.ceil(withinS)} s` : "minute"}: there was no time for them</dd>`}
    ${latency && state !== "online" && html`<dt>Last picture</dt><dd class="last">${lastS === null ? "none has come yet" : `${lasted(lastS)} ago`}</dd>`}`;
}

function delayWords({ looked_at: looked, p50_ms: half, p95_ms: most }) {
  if (!looked) return "none in the last minute";
  if (looked < ENOUGH) return `about ${took(half)} after they come in`;
  return `half within ${took(half)} of coming in, 95 of 100 within ${took(most)}`;
}

const took = (ms) => (ms < 1000 ? `${Math.ceil(ms)} ms` : `${tenths(ms / 1000)} s`);
const tenths = (figure) => (figure < 10 ? Number(figure.toFixed(1)) : Math.round(figure));

function Probe({ name, onClose }) {
  const [found, setFound] = useState(null);
  const [run, isBusy, problem] = useAction(async () => setFound((await ask(`/api/v1/cameras/${name}/probe`, { method: "POST", withinMs: 60000 })).data));
  useEffect(() => void run(), []);
  const row = (what, words) => html`<dt>${what}</dt><dd>${words}</dd>`;
  return html`<${Dialog} title=${`What ${name} sends`} onClose=${onClose}>
    ${isBusy && html`<p class="waiting" role="status">It is opened a second time and watched for some seconds…</p>`}
    <${Trouble} problem=${problem} />
    ${found && html`<dl>${row("Stream", `${found.codec}, ${found.width} x ${found.height}${found.fps ? `, ${found.fps} a second` : ""}`)}
      ${row("First picture", `after ${found.first_frame_s} s`)}
      ${row("Read as", found.reading)}${row("Watched", found.watch)}
      ${found.decode_ms_per_s !== null && row("Decoding", `${found.decode_ms_per_s} ms of CPU time a second of it`)}
      ${found.faces !== null && row("Faces", `${found.faces} in its last picture`)}
      ${found.notes.map((note) => row("Note", note))}</dl>`}
  </${Dialog}>`;
}
