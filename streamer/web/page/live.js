// Live: a wall of all cameras, or one of them in large. Watched is only what is on the screen.

import { service } from "./api.js";
import { observable, useObserved } from "./observable.js";
import { addressOf, Trouble } from "./parts.js";
import { useAskedAgain } from "./status.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { Watching } from "./watching.js";

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
    ${cameras === null && !problem && html`<p class="waiting">One moment…</p>`}
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

const NEW = { state: "connecting", word: "connecting", notice: "Connecting…", people: [] };

function Tile({ camera, isEnabled, isLarge = false }) {
  const [told] = useState(() => observable(NEW));
  const disabled = { state: "disabled", word: "disabled", notice: "This camera is disabled.", people: [] };
  const { state, word, notice, people } = { ...useObserved(told), ...(isEnabled ? {} : disabled) };
  const stage = useRef(), video = useRef(), canvas = useRef();
  useEffect(() => {
    if (!isEnabled) return undefined;
    told.set(NEW);
    let watching = null;
    const begin = () => (watching ??= new Watching(camera, video.current, canvas.current, told.set));
    const end = () => (watching?.stop(), (watching = null));
    const sight = new IntersectionObserver(([{ isIntersecting }]) => (isIntersecting ? begin() : end()), { rootMargin: "200px" });
    const size = new ResizeObserver(() => watching?.redraw());
    sight.observe(stage.current);
    size.observe(stage.current);
    const gone = ({ persisted }) => (end(), persisted && sight.disconnect());
    const back = ({ persisted }) => persisted && sight.observe(stage.current);
    addEventListener("pagehide", gone);
    addEventListener("pageshow", back);
    return () => {
      sight.disconnect();
      size.disconnect();
      removeEventListener("pagehide", gone);
      removeEventListener("pageshow", back);
      end();
    };
  }, [camera, isEnabled]);
  const title = html`<span class="state" data-state=${state}>${word}</span>`;
  return html`<article class=${`tile ${isLarge ? "large" : ""}`} aria-label=${`Camera ${camera}`}>
    <div class="stage" ref=${stage} onDblClick=${() => isLarge && fullScreen(stage.current)}>
      <video ref=${video} autoplay muted playsinline class=${notice ? "old" : ""} aria-label=${`What ${camera} sees`}></video>
      <canvas ref=${canvas} aria-hidden="true"></canvas>
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
  else stage.requestFullscreen().catch(() => {});
}
