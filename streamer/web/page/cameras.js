// Cameras: the state of each and why, how soon its pictures are looked at, and what may be switched; a second look says what they send.

import { REASONS, TROUBLES } from "/assets/states.js";
import { ask, may, service } from "./api.js";
import { useCameras } from "./live.js";
import { addressOf, Dialog, lasted, say, Trouble, useAction, Waiting } from "./parts.js";
import { useStatus } from "./status.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const WAYS = { keyframes: "lightly, while nothing moves", reference: "lightly, while nothing moves", all: "every picture, at all times" };
const ENOUGH = 20; // pictures: fewer say nothing of the slowest

export function Cameras() {
  const [cameras, problem, look] = useCameras();
  const [status] = useStatus();
  return html`<h1>Cameras</h1>
    ${service.value.answers && html`<${Trouble} problem=${problem} />`}
    ${cameras === null && !problem && html`<${Waiting} />`}
    ${cameras?.length === 0 && html`<p class="empty">There is no camera yet. Add one: <code>whosthere cameras add door rtsp://…</code></p>`}
    <ul class="cards">${cameras?.map((camera) => html`<${Camera} key=${camera.name} camera=${camera} watched=${status?.watched[camera.name]} latency=${status?.latency?.[camera.name]} look=${look} />`)}</ul>`;
}

// A service that is away says nothing of its cameras.
const stateOf = ({ state, reason }) => (!service.value.answers ? ["lost", "not known now"] : state !== "online" ? [state, state] : [reason ? "trouble" : state, TROUBLES[reason] ?? state]);

function Camera({ camera, watched, latency, look }) {
  const [shown, words] = stateOf(camera);
  const { name, state, reason, url, enabled, snapshots, publish_to: publishTo } = camera;
  const [isLooking, setLooking] = useState(false);
  const set = (json) => ask(`/api/v1/cameras/${name}`, { method: "PATCH", json }).then(look);
  const [change, isBusy, problem] = useAction(async (json, words, back) => {
    await set(json);
    say(`${name}: ${words}`, { action: { words: "Undo", run: back } });
  });
  const enable = (wanted) => change({ enabled: wanted }, wanted ? "enabled." : "disabled: nobody is seen there.", () => set({ enabled: !wanted }));
  const keep = (wanted) => change({ snapshots: wanted }, wanted ? "visits are kept." : "visits are not kept any more.", () => set({ snapshots: !wanted }));
  return html`<li class="card" aria-label=${`Camera ${name}`}>
    <div class="title"><h2>${enabled ? html`<a href=${addressOf("live", name)}>${name}</a>` : name}</h2>
      <p class="state" data-state=${shown}>${words}</p></div>
    ${state !== "online" && reason && html`<p>${REASONS[reason] ?? reason}</p>`}
    <dl><${Looks} camera=${camera} latency=${latency} />
      <dt>Watched</dt><dd>${watched && state !== "disabled" ? html`<details><summary>${watched.reason === "learning" ? "how is not known yet" : WAYS[watched.way]}</summary>${watched.words}.</details>` : "–"}</dd>
      <dt>Visits</dt><dd>${snapshots ? "kept with pictures" : "not kept"}</dd>
      <dt>From</dt><dd><code>${publishTo ?? url}</code></dd></dl>
    <${Trouble} problem=${problem} />
    ${may("operator") && html`<div class="buttons">
      <button type="button" class="probe" onClick=${() => setLooking(true)}>What it sends</button>
      <button type="button" class="keep" disabled=${isBusy} onClick=${() => keep(!snapshots)}>${snapshots ? "Keep no visits" : "Keep visits"}</button>
      <button type="button" class="enable" disabled=${isBusy} onClick=${() => enable(!enabled)}>${enabled ? "Disable" : "Enable"}</button></div>`}
    ${isLooking && html`<${Probe} name=${name} isEnabled=${enabled} onClose=${() => setLooking(false)} />`}
  </li>`;
}

// They change every few seconds, and are read where one looks: no part of this is said by itself. Each row has its place,
// whatever is known, or the buttons below would move.
function Looks({ camera: { state, fps, pace, enabled }, latency }) {
  const { looked_at_per_s: perSecond = null, dropped, within_s: withinS, last_picture_s: lastS } = latency ?? {};
  const isOnline = state === "online" && service.value.answers;
  const most = pace === "fastest" ? "as fast as it can be played" : `${fps} at most`;
  const pictures = !enabled ? "none: it is disabled" : isOnline && perSecond !== null ? `${tenths(perSecond)} a second looked at, ${most}` : `${fps} a second${pace === "fastest" ? " of it" : " at most"} are looked at`;
  const lost = latency && isOnline && dropped > 0 && `; no time for ${dropped} in the last ${withinS < 59 ? `${Math.ceil(withinS)} s` : "minute"}`;
  return html`<dt>Pictures</dt><dd class="two">${pictures}${lost}</dd>
    ${enabled && latency && state !== "online"
      ? html`<dt>Last picture</dt><dd class="two last">${lastS === null ? "none has come yet" : `${lasted(lastS)} ago`}</dd>`
      : html`<dt>Looked at</dt>${latency && isOnline && pace !== "fastest" ? html`<dd class="two delay">${delayWords(latency)}</dd>` : html`<dd class="two">–</dd>`}`}`;
}

function delayWords({ looked_at: looked, p50_ms: half, p95_ms: most }) {
  if (!looked) return "none in the last minute";
  if (looked < ENOUGH) return `about ${took(half)} after they come in`;
  return `half within ${took(half)} of coming in, 95 of 100 within ${took(most)}`;
}

const took = (ms) => (ms < 1000 ? `${Math.ceil(ms)} ms` : `${tenths(ms / 1000)} s`);
const tenths = (figure) => (figure < 10 ? Number(figure.toFixed(1)) : Math.round(figure));

function Probe({ name, isEnabled, onClose }) {
  const [found, setFound] = useState(null);
  const [run, isBusy, problem] = useAction(async () => setFound((await ask(`/api/v1/cameras/${name}/probe`, { method: "POST", withinMs: 60000 })).data));
  useEffect(() => void run(), []);
  return html`<${Dialog} title=${`What ${name} sends`} onClose=${onClose}>
    ${!isEnabled && html`<p class="notice">${name} is disabled: nobody is looked for there. It is opened for this alone.</p>`}
    ${isBusy && html`<p class="waiting" role="status">It is opened ${isEnabled ? "a second time " : ""}and watched for some seconds…</p>`}
    <${Trouble} problem=${problem} />
    ${found && html`<${Sent} found=${found} isEnabled=${isEnabled} />`}
  </${Dialog}>`;
}

// In words first; then what a maker of cameras would ask.
function Sent({ found, isEnabled }) {
  const { codec, width, height, fps, faces, first_frame_s: firstS, notes, reading, watch, decode_ms_per_s: decodeMs, quiet_decode_ms_per_s: quietMs } = found;
  const row = (what, words) => html`<dt>${what}</dt><dd>${words}</dd>`;
  const cores = (ms) => `${Number((ms / 10).toPrecision(2))} % of a core`;
  return html`<dl>${row("Picture", `${width} x ${height}${fps ? `, ${tenths(fps)} a second` : ""}`)}
      ${row("Answers", firstS < 1 ? "at once" : `the first picture came after ${tenths(firstS)} s`)}
      ${faces !== null && row("Faces", faces === 0 ? "none in its last picture" : `${faces} in its last picture`)}
      ${decodeMs !== null && row("Costs", `${cores(decodeMs)} to decode all of it${quietMs !== null && isEnabled ? `, ${cores(quietMs)} while nothing moves` : ""}`)}
      ${notes.map((note) => row("Note", note))}</dl>
    <details><summary>More about the stream</summary><dl>${row("Stream", `${codec}, ${width} x ${height}${fps ? `, ${fps} a second` : ""}`)}
      ${row("First picture", `after ${firstS} s`)}${row("Read as", reading)}${row(isEnabled ? "Watched" : "Once enabled", watch)}</dl></details>`;
}
