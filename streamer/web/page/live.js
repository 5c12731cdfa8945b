// Live: a wall of all cameras, or one of them in large. Watched is only what is on the screen, of a page that is looked at.

import { service } from "./api.js";
import { observable, useObserved } from "./observable.js";
import { addressOf, Trouble, Waiting } from "./parts.js";
import { useAskedAgain } from "./status.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { Watching } from "./watching.js";

const WALL_FPS = 5; // pictures one by one: 20 cameras cost no more than 5 by WebRTC
const LOOKED_AWAY_MS = 5000; // another tab for a moment is no reason to begin anew

// The cameras there are, asked for from time to time while somebody looks. [cameras or null, problem, look()]
export function useCameras() {
  const [found, problem, look] = useAskedAgain("/api/v1/cameras");
  return [found?.cameras ?? null, problem, look];
}

export function Live({ id }) {
  const [cameras, problem] = useCameras();
  if (id !== undefined) return html`<${One} key=${id} camera=${id} known=${cameras?.find(({ name }) => name === id)} isKnown=${!cameras || cameras.some(({ name }) => name === id)} />`;
  return html`<h1>Live</h1>
    ${service.value.answers && html`<${Trouble} problem=${problem} />`}
    ${cameras === null && !problem && html`<${Waiting} />`}
    ${cameras?.length === 0 && html`<p class="empty">There is no camera yet. Add one: <code>whosthere cameras add door rtsp://…</code></p>`}
    ${cameras && html`<ul class="wall" data-count=${Math.min(cameras.length, 4)}>
      ${[...cameras].sort((one, other) => other.enabled - one.enabled).map(({ name, enabled }) => html`<li key=${name}><${Tile} camera=${name} isEnabled=${enabled} /></li>`)}
    </ul>`}`;
}

function One({ camera, known, isKnown }) {
  return html`<p class="back"><a href="#/live">← All cameras</a> <a href=${`#/events?camera=${encodeURIComponent(camera)}`}>Who was here</a></p>
    <h1>${camera}</h1>
    ${isKnown ? html`<${Tile} camera=${camera} isEnabled=${known?.enabled ?? true} isLarge />` : html`<p class="empty">There is no camera “${camera}” (any more).</p>`}`;
}

const [WIDEST, HIGHEST] = [2.4, 1]; // of a tile on the wall
const shapes = new Map(); // camera -> width by height of its pictures, as they were seen last

const NEW = { state: "connecting", word: "connecting", notice: "Connecting…", people: [] };

function Tile({ camera, isEnabled, isLarge = false }) {
  const [told] = useState(() => observable(NEW));
  const disabled = { state: "disabled", word: "disabled", notice: "This camera is disabled.", people: [] };
  const { state, word, notice, people } = { ...useObserved(told), ...(isEnabled ? {} : disabled) };
  const [shape, setShape] = useState(shapes.get(camera) ?? 16 / 9);
  const sized = ({ target: { videoWidth = 0, videoHeight = 0, width, height } }) => {
    const [wide, high] = [videoWidth || width, videoHeight || height];
    if (wide && high) setShape(shapes.set(camera, wide / high).get(camera));
  };
  const tile = useRef(), stage = useRef(), video = useRef(), picture = useRef(), boxes = useRef();
  useEffect(() => {
    if (!isEnabled) return undefined;
    told.set(NEW);
    let watching = null;
    let isInSight = false;
    let away;
    const places = { video: video.current, picture: picture.current, boxes: boxes.current };
    const begin = () => (watching ??= new Watching(camera, places, told.set, isLarge ? undefined : WALL_FPS));
    const end = () => (watching?.stop(), (watching = null));
    const look = () => (isInSight && !document.hidden ? begin() : end());
    const sight = new IntersectionObserver((seen) => ((isInSight = seen.at(-1).isIntersecting), look()), { rootMargin: "200px" });
    const size = new ResizeObserver(() => watching?.redraw());
    sight.observe(stage.current);
    size.observe(stage.current);
    const gone = ({ persisted }) => (end(), persisted && sight.disconnect());
    const back = ({ persisted }) => persisted && sight.observe(stage.current);
    const turned = () => (clearTimeout(away), document.hidden ? (away = setTimeout(look, LOOKED_AWAY_MS)) : look());
    document.addEventListener("visibilitychange", turned);
    addEventListener("pagehide", gone);
    addEventListener("pageshow", back);
    return () => {
      sight.disconnect();
      size.disconnect();
      clearTimeout(away);
      document.removeEventListener("visibilitychange", turned);
      removeEventListener("pagehide", gone);
      removeEventListener("pageshow", back);
      end();
    };
  }, [camera, isEnabled]);
  const ratio = isLarge ? shape : Math.min(Math.max(shape, HIGHEST), WIDEST);
  useEffect(() => tile.current.style.setProperty("--wide", String(ratio)), [ratio]);
  const title = html`<span class="state" data-state=${state}>${word}</span>`;
  return html`<article ref=${tile} class=${`tile ${isLarge ? "large" : ""}`} aria-label=${`Camera ${camera}`}>
    <div class="stage" ref=${stage} onDblClick=${() => isLarge && fullScreen(stage.current)}>
      <video ref=${video} hidden onResize=${sized} autoplay muted playsinline class=${notice ? "old" : ""} aria-label=${`What ${camera} sees`}></video>
      <canvas ref=${picture} hidden onResize=${sized} class=${`picture ${notice ? "old" : ""}`} role="img" aria-label=${`What ${camera} sees`}></canvas>
      <canvas ref=${boxes} class="boxes" aria-hidden="true"></canvas>
      ${notice && html`<p class="notice">${notice}</p>`}
    </div>
    <footer>
      ${isLarge ? title : html`<a href=${addressOf("live", camera)}>${camera}</a> ${title}`}
      <ul class="present" aria-label="In the picture">${people.map(({ text, named }) => html`<li class=${named ? "" : "unnamed"}>${text}</li>`)}</ul>
      ${isLarge && document.fullscreenEnabled && html`<button type="button" onClick=${() => fullScreen(stage.current)}>Full screen</button>`}
    </footer>
  </article>`;
}

function fullScreen(stage) {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.().catch(() => {}); // an iPhone has it for videos alone
}
