// The page of one camera: asks for a token once, watches, says in words what is the matter, and goes on when it is over.

import { Alignment } from "./alignment.js";
import { drawFaces, namesOf } from "./faces.js";
import { REASONS, TROUBLES } from "./states.js";
import { Refused, Session } from "./whep.js";

const TOKEN = "whosthere.token"; // of this tab alone
const LONGEST_WAIT_S = 10;
const COMES_BACK_MS = 3000;
const GONE = "The connection to the service was lost.";
const BACK = "Once it is back, you see it here.";
const SILENT_MS = 5000; // without a picture, that is worth a word

const camera = decodeURIComponent(location.pathname.split("/").at(-1));
const at = (id) => document.getElementById(id);
const stage = at("stage"), video = at("video"), canvas = at("boxes"), people = at("people");

let session = null;
let alignment = new Alignment();
let status = null; // the camera's, as it was told last
let shown; // the RTP timestamp of the picture on the screen
let lastPictureMs = 0;
let attempts = 0;
let retryTimer;
let latencies = [];
let clocks = []; // how far this clock is ahead of the service's, by each message
let halfRoundTripMs = 0;
let withBoxes = true;

at("camera").textContent = camera;
document.title = `${camera} · whosthere`;

// ---- the session

async function watch() {
  clearTimeout(retryTimer);
  const token = sessionStorage.getItem(TOKEN);
  at("forget").hidden = token === null;
  if (token === null) return askForToken();
  at("login").hidden = true;
  at("controls").hidden = false;
  leave();
  if (!canPlay()) return;
  setState("connecting", "connecting");
  if (!lastPictureMs) notice("Connecting…");
  const mine = (session = new Session(token, {
    track: (stream) => ((video.srcObject = stream), video.play().catch(() => {})),
    message: (message) => mine === session && heard(message),
    state: (state) => mine === session && connection(state),
    over: () => mine === session && lost(GONE),
  }));
  try {
    await mine.open(camera);
  } catch (error) {
    if (mine === session) refused(error);
  }
}

function leave() {
  session?.close();
  session = null;
  status = null;
  alignment = new Alignment();
  latencies = [];
  clocks = [];
  at("latency").hidden = true;
}

function connection(state) {
  if (state === "connected") {
    attempts = 0;
    lastPictureMs = performance.now();
    notice("Waiting for the first picture…");
  } else if (state === "failed") {
    lost(GONE);
  } else if (state === "disconnected") {
    const mine = session; // it may come back by itself
    setTimeout(() => mine === session && mine.state !== "connected" && lost(GONE), COMES_BACK_MS);
  }
}

function lost(why, waitS = Math.min(2 ** attempts++, LONGEST_WAIT_S), state = "lost", word = "not connected") {
  leave();
  clearFaces();
  setState(state, word);
  notice(`${why} Trying again in ${waitS} s.`, true);
  retryTimer = setTimeout(watch, waitS * 1000);
}

function refused(error) {
  const said = error instanceof Refused ? error : null;
  if (said?.status === 401) return forget("This token is not known here, or was revoked. Enter another one.");
  if (said?.status === 403) return forget("This token may not watch cameras. Enter one whose role is viewer or more.");
  if (said?.code === "camera_disabled") {
    return lost("This camera is disabled.", LONGEST_WAIT_S, "disabled", "disabled");
  }
  if (said?.status === 429 || said?.status === 503) {
    const waitS = said.retryAfter ?? LONGEST_WAIT_S;
    const words = {
      too_many_sessions: "As many people are watching as may at once.",
      too_many_attempts: "Too many wrong tokens came from here; the service lets nobody in for now.",
    };
    return lost(words[said.code] ?? "The service is busy.", waitS);
  }
  if (said?.code === "webrtc_disabled") return given("Watching is switched off here (ingest.webrtc.enabled).");
  if (said?.status === 404) return given(`There is no camera “${camera}” to watch here. ${said.message ?? ""}`);
  if (said?.status === 501) return given("This service was installed without WebRTC (its extra “webrtc”).");
  if (said && said.status < 500) return given(`The service does not take this browser's offer: ${said.message}`);
  return lost(said ? "The service has a fault here; its log says more." : "The service does not answer.");
}

// Trying again by itself would be no use.
function given(why) {
  leave();
  setState("lost", "not connected");
  notice(why, true);
}

function canPlay() {
  if (!("RTCPeerConnection" in window)) {
    given("This browser has no WebRTC, or its settings switch it off.");
    return false;
  }
  const codecs = RTCRtpReceiver.getCapabilities?.("video")?.codecs;
  if (codecs && !codecs.some(({ mimeType }) => mimeType.toLowerCase() === "video/vp8")) {
    given("This browser can't play VP8, the one form in which pictures are sent.");
    return false;
  }
  return true;
}

// ---- what the service says

function heard(message) {
  if ("state" in message) return became(message);
  if (!("faces" in message)) return;
  clocks.push(Date.now() - message.published_at * 1000);
  if (clocks.length > 100) clocks.shift();
  alignment.message(message);
  redraw();
}

function became(told) {
  status = told;
  const since = new Date(told.since * 1000).toLocaleTimeString();
  if (told.state === "online") {
    setState(told.reason ? "trouble" : "online", TROUBLES[told.reason] ?? told.reason ?? "online");
    lastPictureMs = performance.now(); // its next picture takes the notice away
    return;
  }
  setState(told.state, told.state);
  clearFaces();
  const words = {
    stalled: `No new picture has come from the camera since ${since}. ${BACK}`,
    disabled: `The camera was disabled at ${since}. ${BACK}`,
    offline: `The camera has been offline since ${since}: ${REASONS[told.reason] ?? told.reason}. ${BACK}`,
  };
  notice(words[told.state] ?? told.state);
}

// ---- pictures and what is drawn on them

function presented(_now, picture) {
  shown = picture.rtpTimestamp ?? 0;
  lastPictureMs = performance.now();
  if (status === null || status.state === "online") hideNotice();
  if (picture.rtpTimestamp !== undefined) {
    alignment.picture(shown);
    measure(alignment.exact(shown), picture);
  }
  redraw();
  video.requestVideoFrameCallback(presented);
}

function redraw() {
  const message = status && status.state !== "online" ? undefined : alignment.best(shown);
  drawFaces(canvas, video.videoWidth > 0, withBoxes ? message : undefined);
  showPeople(message?.faces ?? []);
}

function clearFaces() {
  alignment.clear();
  video.classList.add("old");
  redraw();
}

function measure(message, picture) {
  if (!message || !clocks.length) return;
  const ahead = Math.min(...clocks) - halfRoundTripMs;
  const displayed = performance.timeOrigin + picture.expectedDisplayTime;
  latencies.push(displayed - ahead - message.captured_at * 1000);
  if (latencies.length > 30) latencies.shift();
}

function showPeople(faces) {
  const found = namesOf(faces);
  const key = JSON.stringify(found);
  if (people.dataset.key === key) return; // or a screen reader would say it anew with every picture
  people.dataset.key = key;
  people.replaceChildren(
    ...found.map(({ text, named }) => {
      const item = document.createElement("li");
      item.textContent = text;
      item.classList.toggle("unnamed", !named);
      return item;
    }),
  );
}

setInterval(async () => {
  if (!session) return;
  if (status?.state === "online" && performance.now() - lastPictureMs > SILENT_MS && at("notice").hidden) {
    notice("No picture has come for some seconds; the network or the service is slow.");
  }
  const roundTripS = await session.roundTrip().catch(() => undefined);
  if (roundTripS !== undefined) halfRoundTripMs = roundTripS * 500;
  const latency = [...latencies].sort((a, b) => a - b)[latencies.length >> 1];
  at("latency").hidden = latency === undefined || !session;
  if (latency !== undefined) at("latency").textContent = `${Math.max(0, Math.round(latency))} ms behind`;
}, 1000);

// ---- words, token, keys

function setState(state, text) {
  at("state").dataset.state = state;
  at("state").textContent = text;
}

function notice(text, canRetry = false) {
  at("notice-text").textContent = text;
  at("retry").hidden = !canRetry;
  at("notice").hidden = false;
}

function hideNotice() {
  at("notice").hidden = true;
  video.classList.remove("old");
}

function askForToken(why = "") {
  leave();
  setState("lost", "not connected");
  at("notice").hidden = true;
  at("login").hidden = false;
  at("controls").hidden = true;
  if (why) {
    at("login-text").textContent = why;
    at("login-text").classList.add("refused");
  }
  at("token").focus();
}

function forget(why) {
  clearTimeout(retryTimer);
  sessionStorage.removeItem(TOKEN);
  at("forget").hidden = true;
  video.srcObject = null;
  shown = undefined;
  clearFaces();
  askForToken(why);
}

function toggleBoxes() {
  withBoxes = !withBoxes;
  at("show-boxes").setAttribute("aria-pressed", String(withBoxes));
  redraw();
}

function toggleFullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else stage.requestFullscreen?.().catch(() => {});
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value.trim());
  at("token").value = "";
  watch();
});
at("retry").addEventListener("click", () => ((attempts = 0), watch()));
at("show-boxes").addEventListener("click", toggleBoxes);
at("full-screen").addEventListener("click", toggleFullScreen);
at("full-screen").hidden = !document.fullscreenEnabled;
at("forget").addEventListener("click", () => forget());
stage.addEventListener("dblclick", toggleFullScreen);
document.addEventListener("keydown", (event) => {
  if (event.target instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "b") toggleBoxes();
  if (event.key === "f") toggleFullScreen();
});
new ResizeObserver(redraw).observe(stage);
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => event.persisted && watch());
if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(presented);
else video.addEventListener("timeupdate", () => presented(0, {}) );

watch();
