// Photos of somebody, dropped, chosen or taken by the browser's camera; and what became of each.

import { ask } from "./api.js";
import { Dialog, Trouble } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

const MOST = 100; // in one request
const LARGEST_MIB = 100;
const JPEG_QUALITY = 0.92;

const CAMERA = {
  NotAllowedError: "This page may not use the camera: allow it in the browser, then try again.",
  NotFoundError: "This device has no camera.",
  OverconstrainedError: "This device has no camera.", // WebKit, which was asked for nothing in particular
  NotReadableError: "Another program uses the camera: end it, then try again.",
  AbortError: "Another program uses the camera: end it, then try again.", // Firefox
};

// {photos: [{file, url}], forget(those), part}: part is what is drawn; those: all of them, where nothing is said.
export function usePhotos() {
  const [photos, setPhotos] = useState([]);
  const [problem, setProblem] = useState(null);
  const held = useRef(photos);
  held.current = photos;
  const drop = (list) => list.forEach(({ url }) => URL.revokeObjectURL(url));
  useEffect(() => () => drop(held.current), []);

  function add(files) {
    const why = [];
    const good = [...files].filter((file) => {
      if (!/^image\//.test(file.type)) why.push({ image: file.name, why: "it is no picture" });
      else if (!file.size) why.push({ image: file.name, why: "it is empty" });
      else if (file.size > LARGEST_MIB * 2 ** 20) why.push({ image: file.name, why: `it has more than ${LARGEST_MIB} MiB` });
      else return true;
      return false;
    });
    const room = MOST - held.current.length;
    if (good.length > room) why.push({ image: "", why: `${MOST} photos at most go at once; ${good.length - room} were left out` });
    setProblem(why.length ? { message: "Not all of it can be sent:", refused: why } : null);
    setPhotos((before) => [...before, ...good.slice(0, Math.max(0, room)).map((file) => ({ file, url: URL.createObjectURL(file) }))]);
  }

  const remove = (photo) => (drop([photo]), setPhotos((before) => before.filter((one) => one !== photo)));
  const forget = (those = held.current) => (drop(those), setPhotos((now) => now.filter((one) => !those.includes(one))), setProblem(null));
  const part = html`<${Chooser} add=${add} /><${Trouble} problem=${problem} />
    <ul class="photos">${photos.map((photo) => html`<li key=${photo.url}><img class="face large" src=${photo.url} alt=${photo.file.name} decoding="async" />
      <button type="button" class="plain" aria-label=${`Leave out ${photo.file.name}`} onClick=${() => remove(photo)}>Leave out</button></li>`)}</ul>`;
  return { photos, forget, part };
}

function Chooser({ add }) {
  const [isOver, setOver] = useState(false);
  const [isTaking, setTaking] = useState(false);
  const input = useRef();
  const dropped = (event) => (event.preventDefault(), setOver(false), add(event.dataTransfer.files));
  const over = (event) => (event.preventDefault(), setOver(true));
  useEffect(() => {
    const missed = (event) => event.preventDefault(); // beside the place, a photo would open instead of the page
    const kinds = ["dragover", "drop"];
    kinds.forEach((kind) => addEventListener(kind, missed));
    return () => kinds.forEach((kind) => removeEventListener(kind, missed));
  }, []);
  return html`<div class=${`drop ${isOver ? "over" : ""}`} onDragOver=${over} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
    <p>Drop photos here: one face each, from the front, well lit. Two or three are better than one.</p>
    <div class="buttons">
      <button type="button" onClick=${() => input.current.click()}>Choose photos</button>
      <button type="button" class="take" onClick=${() => setTaking(true)}>Use this device’s camera</button>
    </div>
    <input ref=${input} type="file" class="files" accept="image/*" multiple tabindex="-1" aria-hidden="true" onChange=${({ target }) => (add(target.files), (target.value = ""))} />
    ${isTaking && html`<${Camera} add=${add} onClose=${() => setTaking(false)} />`}
  </div>`;
}

function Camera({ add, onClose }) {
  const video = useRef();
  const [problem, setProblem] = useState(null);
  const [isOn, setOn] = useState(false);
  const [taken, setTaken] = useState(0);
  useEffect(() => {
    let stream = null;
    let isOver = false;
    async function open() {
      if (!navigator.mediaDevices) throw new DOMException("", "InsecureContext");
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 }, height: { ideal: 720 } } });
      if (isOver) return close();
      video.current.srcObject = stream;
      stream.getVideoTracks()[0].onended = () => setProblem({ message: "The camera of this device was switched off." });
    }
    const close = () => stream?.getTracks().forEach((track) => track.stop());
    open().catch(({ name }) => {
      const insecure = "Browsers open the camera for https:// pages alone (and for http://localhost). Open this page by https://.";
      setProblem({ message: name === "InsecureContext" ? insecure : (CAMERA[name] ?? `The camera of this device can’t be opened (${name}).`) });
    });
    return () => ((isOver = true), close());
  }, []);
  async function take() {
    const { videoWidth: width, videoHeight: height } = video.current;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d").drawImage(video.current, 0, 0);
    const picture = await new Promise((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
    if (!picture) return setProblem({ message: "The camera of this device gives no picture." });
    add([new File([picture], `camera ${taken + 1}.jpg`, { type: "image/jpeg" })]);
    setTaken(taken + 1);
  }
  return html`<${Dialog} title="This device’s camera" onClose=${onClose}>
    <video class="own" hidden=${Boolean(problem)} ref=${video} autoplay muted playsinline aria-label="What this device’s camera sees" onPlaying=${() => setOn(true)}></video>
    <${Trouble} problem=${problem} />
    <p class="quiet" role="status">${problem ? "" : taken ? `${taken} taken. Turn the head a little, and take another one.` : "Look into the camera. Nothing is sent before you say so."}</p>
    <div class="buttons"><button type="button" class="main shoot" disabled=${!isOn || problem} onClick=${take}>Take a photo</button>
      <button type="button" onClick=${onClose}>Done</button></div>
  </${Dialog}>`;
}

// What became of the photos of an enrolment.
export function Report({ report }) {
  if (!report) return null;
  const { taken, already, left_out: leftOut, refused, warnings } = report;
  const line = (image, words, isGood) => html`<li data-good=${String(isGood)}><b>${image}</b>: ${words}</li>`;
  return html`<div role="status"><ul class="report">
    ${taken.map(({ image, quality }) => line(image, `taken, quality ${quality.toFixed(2)}`, true))}
    ${already.map((image) => line(image, "was there already", true))}
    ${leftOut.map(({ image, why }) => line(image, why, true))}
    ${refused.map(({ image, why }) => line(image, why, false))}
    ${warnings.map((words) => html`<li data-good="false">${words}</li>`)}
  </ul></div>`;
}

// Photos on their way: {send(path, form) -> data, stop(), words}; words are of how far it is, to be drawn while it lasts.
export function useSending() {
  const [words, setWords] = useState("");
  const stopping = useRef(null);
  const stop = () => stopping.current?.abort();
  useEffect(() => stop, []); // whoever leaves the screen would not be told of its end
  async function send(path, form) {
    const mib = form.getAll("images").reduce((sum, { size }) => sum + size, 0) / 2 ** 20;
    const tell = (part) => setWords(part < 1 ? `Sending: ${(part * mib).toFixed(1)} of ${mib.toFixed(1)} MiB` : "Sent. The photos are looked at…");
    stopping.current = new AbortController();
    tell(0);
    return (await ask(path, { method: "POST", form, signal: stopping.current.signal, onSent: tell })).data;
  }
  return { send, stop, words };
}

export function Sending({ words, stop }) {
  return html`<p class="waiting sending">${words}</p><div class="buttons"><button type="button" class="stop" onClick=${stop}>Stop sending</button></div>`;
}
