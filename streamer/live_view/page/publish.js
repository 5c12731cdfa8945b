// Publishes this device's camera by WHIP: asks for the camera's password once, sends, and begins again when it is over.

import { Refused, Signalling } from "./signalling.js";

const LONGEST_WAIT_S = 10;
const COMES_BACK_MS = 3000;
const SIDES = ["environment", "user"]; // of a phone: what lies before it, and who holds it

const camera = decodeURIComponent(location.pathname.split("/").at(-1));
const PASSWORD = `whosthere.password.${camera}`; // of this tab alone
const at = (id) => document.getElementById(id);
const video = at("video");

let session = null; // {connection, signalling}
let stream = null;
let side = 1;
let attempts = 0;
let retryTimer;

at("camera").textContent = camera;
document.title = `${camera} · publish · whosthere`;

async function publish() {
  clearTimeout(retryTimer);
  hangUp();
  const password = sessionStorage.getItem(PASSWORD);
  if (password === null) return askForPassword();
  at("login").hidden = true;
  at("stop").hidden = false;
  setState("connecting", "connecting");
  notice("");
  try {
    stream ??= await openCamera();
  } catch (error) {
    return given(CAMERA[error.name] ?? `The camera of this device can't be opened (${error.name}).`);
  }
  video.srcObject = stream;
  const devices = await navigator.mediaDevices.enumerateDevices();
  at("turn").hidden = devices.filter(({ kind }) => kind === "videoinput").length < 2;
  const connection = new RTCPeerConnection();
  const mine = (session = { connection, signalling: new Signalling(password, connection) });
  for (const track of stream.getTracks()) connection.addTransceiver(track, { direction: "sendonly", streams: [stream] });
  connection.onconnectionstatechange = () => mine === session && became(connection.connectionState);
  try {
    await mine.signalling.open(`/whip/${encodeURIComponent(camera)}`);
  } catch (error) {
    if (mine === session) refused(error);
  }
}

const CAMERA = {
  NotAllowedError: "This page may not use the camera: allow it in the browser, then try again.",
  NotFoundError: "This device has no camera.",
  OverconstrainedError: "This device has no camera.", // WebKit, which was asked for nothing in particular
  NotReadableError: "Another program uses the camera: end it, then try again.",
  AbortError: "Another program uses the camera: end it, then try again.", // Firefox
};

async function openCamera() {
  const found = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: { ideal: SIDES[side] }, width: { ideal: 1280 }, height: { ideal: 720 } },
  });
  found.getVideoTracks()[0].onended = () => given("The camera of this device was switched off.");
  return found;
}

function became(state) {
  if (state === "connected") {
    attempts = 0;
    setState("online", "publishing");
    stayAwake();
  } else if (state === "failed" || state === "closed") {
    again("The connection to the service was lost.");
  } else if (state === "disconnected") {
    const mine = session; // it may come back by itself
    setTimeout(() => mine === session && mine?.connection.connectionState !== "connected" && became("failed"), COMES_BACK_MS);
  }
}

function refused(error) {
  const said = error instanceof Refused ? error : null;
  if (said?.status === 401) return forget("This is not the password of this camera.");
  if (said?.status === 403) return forget("This token may not publish. Its role needs to be operator or more.");
  if (said?.status === 409) return again("Another device publishes to this camera.", said.retryAfter);
  if (said?.status === 429 || said?.status === 503) return again("The service lets nobody in for now.", said.retryAfter);
  if (said && said.status < 500 || said?.status === 501) return given(`The service refuses: ${said.message}`);
  return again("The service does not answer.");
}

function again(why, waitS = Math.min(2 ** attempts++, LONGEST_WAIT_S)) {
  hangUp();
  setState("lost", "not publishing");
  notice(`${why} Trying again in ${waitS} s.`, true);
  retryTimer = setTimeout(publish, waitS * 1000);
}

// Trying again by itself would be no use.
function given(why) {
  stop();
  notice(why, true);
}

function forget(why) {
  sessionStorage.removeItem(PASSWORD);
  stop();
  askForPassword();
  notice(why);
}

function hangUp() {
  session?.signalling.leave();
  session?.connection.close();
  session = null;
}

function stop() {
  clearTimeout(retryTimer);
  hangUp();
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = video.srcObject = null;
  at("turn").hidden = at("stop").hidden = true;
  setState("offline", "not publishing");
}

function askForPassword() {
  at("login").hidden = false;
  at("token").focus();
}

function setState(state, words) {
  at("state").dataset.state = state;
  at("state").textContent = words;
}

function notice(text, mayRetry = false) {
  at("notice-text").textContent = text;
  at("retry").hidden = !mayRetry;
  at("notice").hidden = !text;
}

// A phone that goes to sleep sends nothing; where it can't be kept awake it publishes all the same.
async function stayAwake() {
  await navigator.wakeLock?.request("screen").catch(() => {});
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(PASSWORD, at("token").value);
  at("token").value = "";
  publish();
});
at("retry").addEventListener("click", publish);
at("stop").addEventListener("click", () => (stop(), notice("Stopped.", true)));
at("turn").addEventListener("click", () => ((side = 1 - side), stop(), publish()));
addEventListener("pagehide", hangUp);
addEventListener("pageshow", (event) => event.persisted && publish());

if (!window.isSecureContext || !navigator.mediaDevices) {
  notice("Browsers open the camera for https:// pages alone (and for http://localhost). Open this page by https://.");
} else {
  publish();
}
