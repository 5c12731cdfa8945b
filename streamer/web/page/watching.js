// One camera watched in a place of the page: by WebRTC, or by pictures one by one where that can't be had or would cost too
// much; a session that comes back by itself, its boxes, and words for its state.

import { Alignment } from "/assets/alignment.js";
import { drawFaces, namesOf } from "/assets/faces.js";
import { REASONS, TROUBLES } from "/assets/states.js";
import { Refused, Session } from "/assets/whep.js";
import { lookForIt, ofSession, Problem, refresh } from "./api.js";
import { timeWords } from "./parts.js";
import { Pictures } from "./pictures.js";

const LONGEST_WAIT_S = 10;
const COMES_BACK_MS = 3000;
const CONNECTS_MS = 6000; // from the answer; where no way is found in that time there is none as a rule
const WITHOUT_MS = 5 * 60000; // before WebRTC is tried again, once it found no way
const GONE = "The connection to the service was lost.";
const PASSING = ["camera_disabled", "csrf_refused", "service_stopping", "too_many_requests", "too_many_attempts"];

let noWayUntilMs = -Infinity;

export class Watching {
  #session = null;
  #without; // why not by WebRTC, in words; "" for no other reason than what it costs
  #alignment = null;
  #state = null; // the camera's, as it was told last
  #shown;
  #isUp = false; // the session has been connected
  #attempts = 0;
  #timer;
  #isOver = false;
  #frame = 0;
  #seen = "";

  // stage: {video, picture, boxes}, two canvases. fps: of pictures one by one, at most; none: by WebRTC where it can be had.
  // said({state, word, notice, people}): whenever one of them is another one. state: as data-state of the style sheet.
  constructor(camera, { video, picture, boxes }, said, fps) {
    Object.assign(this, { camera, video, picture, boxes, said, fps });
    this.#without = fps ? "" : whyNoWebrtc();
    this.told = { state: "connecting", word: "connecting", notice: "Connecting…", people: [] };
    said(this.told);
    if (!video.requestVideoFrameCallback) video.ontimeupdate = () => this.#byWebrtc && this.#presented();
    this.watch();
  }

  get #byWebrtc() {
    return this.#without === undefined;
  }

  watch() {
    clearTimeout(this.#timer);
    this.#hangUp();
    this.#isUp = false;
    return this.#byWebrtc ? this.#watchByWebrtc() : this.#watchByPictures();
  }

  stop() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#hangUp();
    this.video.srcObject = null;
  }

  redraw() {
    const isOn = this.#state === null || this.#state.state === "online";
    const message = isOn ? this.#alignment?.best(this.#shown) : undefined;
    drawFaces(this.boxes, this.#byWebrtc ? this.video.videoWidth > 0 : !this.picture.hidden, message);
    const people = namesOf(message?.faces ?? []);
    const seen = JSON.stringify(people);
    if (seen === this.#seen) return; // or a screen reader would say it anew with every picture
    this.#seen = seen;
    this.#say({ people });
  }

  async #watchByWebrtc() {
    const mine = (this.#session = new Session(ofSession(), {
      track: (stream) => ((this.video.srcObject = stream), this.video.play().catch(() => {})),
      ...this.#hears(() => mine),
    }));
    this.#alignment = new Alignment();
    this.#show(this.video);
    this.#follow();
    try {
      await mine.open(this.camera);
    } catch (error) {
      if (mine === this.#session) this.#refused(error);
    }
    if (mine === this.#session) this.#timer = setTimeout(() => mine === this.#session && !this.#isUp && this.#noWay(), CONNECTS_MS);
  }

  async #watchByPictures() {
    const mine = (this.#session = new Pictures({
      picture: (bitmap, told) => (mine === this.#session ? this.#draw(bitmap, told) : bitmap.close()),
      ...this.#hears(() => mine),
    }));
    this.#alignment = new Alignment(0);
    await mine.open(this.camera, this.fps).catch((problem) => mine === this.#session && this.#refused(problem));
  }

  #hears(mine) {
    return {
      message: (message) => mine() === this.#session && this.#heard(message),
      state: (state) => mine() === this.#session && this.#connection(state, mine()),
      over: (code) => mine() === this.#session && (code ? this.#refused(new Problem(0, { code })) : this.#lost(GONE)),
    };
  }

  #noWay() {
    noWayUntilMs = performance.now() + WITHOUT_MS;
    this.#goOnByPictures(whyNoWebrtc());
  }

  #goOnByPictures(why) {
    this.#without = why;
    this.video.srcObject = null;
    this.watch();
  }

  #draw(bitmap, told) {
    const { width, height } = bitmap;
    if (this.picture.width !== width || this.picture.height !== height) {
      Object.assign(this.picture, { width, height });
      this.picture.dispatchEvent(new Event("resize")); // as a video tells it
    }
    this.picture.getContext("bitmaprenderer").transferFromImageBitmap(bitmap);
    this.#show(this.picture);
    this.#presented(told.media_time);
  }

  #show(which) {
    this.video.hidden = which !== this.video;
    this.picture.hidden = which !== this.picture;
  }

  #say(change) {
    this.told = { ...this.told, ...change };
    if (!this.#isOver) this.said(this.told);
  }

  #hangUp() {
    const session = this.#session;
    this.#session = this.#alignment = null;
    this.#shown = undefined;
    session?.close();
  }

  #connection(state, mine) {
    if (state === "connected") {
      this.#attempts = 0;
      this.#isUp = true;
      if (this.#byWebrtc) noWayUntilMs = -Infinity;
      if (this.told.state === "connecting") this.#say({ notice: "Waiting for the first picture…" });
    } else if (state === "failed") {
      if (this.#isUp) this.#lost(GONE);
      else this.#noWay();
    } else if (state === "disconnected") {
      const isBack = () => mine !== this.#session || mine.state === "connected"; // it may come back by itself
      setTimeout(() => isBack() || this.#lost(GONE), COMES_BACK_MS);
    }
  }

  #heard(message) {
    if ("state" in message) this.#became(message);
    else if ("faces" in message) this.#alignment.message(message);
    else return;
    this.redraw();
  }

  #became(told) {
    this.#state = told;
    if (told.state === "online") {
      const word = TROUBLES[told.reason] ?? told.reason ?? "online";
      return this.#say({ state: told.reason ? "trouble" : "online", word });
    }
    this.#alignment.clear();
    const since = timeWords(told.since);
    const words = {
      stalled: `No new picture has come since ${since}.`,
      disabled: `The camera was disabled at ${since}.`,
      offline: `Offline since ${since}: ${REASONS[told.reason] ?? told.reason}.`,
    };
    this.#say({ state: told.state, word: told.state, notice: words[told.state] ?? told.state });
  }

  // mediaTime: its own, or with an offset; undefined where the browser does not tell.
  #presented(mediaTime) {
    if (this.#isOver) return;
    this.#shown = mediaTime ?? 0;
    if (this.#session && this.#byWebrtc && mediaTime !== undefined) this.#alignment.picture(this.#shown);
    if (this.told.notice && (this.#state === null || this.#state.state === "online")) this.#say({ notice: "" });
    this.redraw();
  }

  #follow() {
    if (!this.video.requestVideoFrameCallback) return;
    this.video.cancelVideoFrameCallback(this.#frame); // of a session of before
    this.#frame = this.video.requestVideoFrameCallback((now, { rtpTimestamp }) => {
      if (!this.#byWebrtc) return;
      this.#presented(rtpTimestamp);
      this.#follow();
    });
  }

  #lost(why, waitS = Math.min(2 ** this.#attempts++, LONGEST_WAIT_S), state = "lost") {
    this.#hangUp();
    this.#state = { state: "lost" }; // no box stays on the last picture
    this.redraw();
    if (state === "lost") this.#say({ state, word: "not connected", notice: `${why} Trying again in ${waitS} s.` });
    else this.#say({ state, word: state, notice: why });
    this.#timer = setTimeout(() => ((this.#state = null), this.watch()), waitS * 1000);
  }

  // Trying again by itself would be no use.
  #given(why) {
    this.#hangUp();
    this.#say({ state: "lost", word: "not connected", notice: why });
  }

  // error: of signalling, of the service (Problem), or null where WebSockets don't come through.
  #refused(error) {
    const said = error instanceof Refused || error instanceof Problem ? error : null;
    const { status, code } = said ?? {};
    const waitS = said?.retryAfter ?? said?.retryAfterS;
    if (error && (!said || code === "service_away")) {
      lookForIt();
      return this.#lost("The service does not answer.");
    }
    if (status === 401 || code === "csrf_refused" || code === "token_invalid") {
      refresh(); // it ends the session of the page, or has another one's header
      return this.#lost("The session was not taken.");
    }
    if (code === "camera_unknown") return this.#given("There is no such camera (any more).");
    if (code === "camera_disabled") return this.#lost("This camera is disabled.", LONGEST_WAIT_S, "disabled");
    if (code === "service_stopping") return this.#lost(GONE);
    if (this.#byWebrtc && !PASSING.includes(code)) return this.#goOnByPictures(whyRefusedWebrtc(said));
    if (code === "too_many_listeners") return this.#lost(`No more may be watched at once (http.picture_streams). ${this.#without}`.trim(), LONGEST_WAIT_S);
    if (code === "listener_too_slow") return this.#lost("The line is too slow for pictures.");
    if (!said) return this.#lost(`Something between this browser and the service lets no WebSocket through. ${this.#without}`.trim(), LONGEST_WAIT_S);
    return this.#lost(status && status < 500 && status !== 429 ? said.message : "The service is busy.", waitS);
  }
}

// undefined: by WebRTC, as far as is known.
function whyNoWebrtc() {
  if (!("RTCPeerConnection" in window)) return "This browser has no WebRTC, or its settings switch it off.";
  return performance.now() < noWayUntilMs ? "WebRTC finds no way to the service." : undefined;
}

function whyRefusedWebrtc({ status, code, message }) {
  if (code === "too_many_sessions") return "No more may be watched by WebRTC at once (ingest.webrtc.viewers).";
  if (code === "webrtc_disabled") return "WebRTC is switched off here (ingest.webrtc.enabled).";
  if (status === 501) return "This service was installed without WebRTC (its extra “webrtc”).";
  return `The service does not take this browser's offer: ${message}`;
}
