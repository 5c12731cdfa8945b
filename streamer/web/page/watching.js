// One camera watched in a place of the page: a WHEP session that comes back by itself, its boxes, and words for its state.

import { Alignment } from "/assets/alignment.js";
import { drawFaces, namesOf } from "/assets/faces.js";
import { REASONS, TROUBLES } from "/assets/states.js";
import { Refused, Session } from "/assets/whep.js";
import { lookForIt, ofSession, refresh } from "./api.js";
import { timeWords } from "./parts.js";

const LONGEST_WAIT_S = 10;
const COMES_BACK_MS = 3000;
const GONE = "The connection to the service was lost.";

export class Watching {
  #session = null;
  #alignment = new Alignment();
  #state = null; // the camera's, as it was told last
  #shown;
  #attempts = 0;
  #retry;
  #isOver = false;
  #frame = 0;
  #seen = "";

  // said({state, word, notice, people}): whenever one of them is another one. state: as data-state of the style sheet.
  constructor(camera, video, canvas, said) {
    Object.assign(this, { camera, video, canvas, said });
    this.told = { state: "connecting", word: "connecting", notice: "Connecting…", people: [] };
    if (!video.requestVideoFrameCallback) video.ontimeupdate = () => this.#presented({});
    this.watch();
  }

  async watch() {
    clearTimeout(this.#retry);
    this.#hangUp();
    if (!("RTCPeerConnection" in window)) return this.#given("This browser has no WebRTC, or its settings switch it off.");
    const mine = (this.#session = new Session(ofSession(), {
      track: (stream) => ((this.video.srcObject = stream), this.video.play().catch(() => {})),
      message: (message) => mine === this.#session && this.#heard(message),
      state: (state) => mine === this.#session && this.#connection(state, mine),
      over: () => mine === this.#session && this.#lost(GONE),
    }));
    this.#follow();
    try {
      await mine.open(this.camera);
    } catch (error) {
      if (mine === this.#session) this.#refused(error);
    }
  }

  stop() {
    this.#isOver = true;
    clearTimeout(this.#retry);
    this.#hangUp();
    this.video.srcObject = null;
  }

  redraw() {
    const isOn = this.#state === null || this.#state.state === "online";
    const message = isOn ? this.#alignment.best(this.#shown) : undefined;
    drawFaces(this.canvas, this.video, message);
    const people = namesOf(message?.faces ?? []);
    const seen = JSON.stringify(people);
    if (seen === this.#seen) return; // or a screen reader would say it anew with every picture
    this.#seen = seen;
    this.#say({ people });
  }

  #say(change) {
    this.told = { ...this.told, ...change };
    if (!this.#isOver) this.said(this.told);
  }

  #hangUp() {
    const session = this.#session;
    this.#session = null;
    this.#alignment = new Alignment();
    this.#shown = undefined;
    session?.close();
  }

  #connection(state, mine) {
    if (state === "connected") {
      this.#attempts = 0;
      if (this.told.state === "connecting") this.#say({ notice: "Waiting for the first picture…" });
    } else if (state === "failed") {
      this.#lost(GONE);
    } else if (state === "disconnected") {
      const isBack = () => mine !== this.#session || mine.state === "connected"; // it may come back by itself
      setTimeout(() => isBack() || this.#lost(GONE), COMES_BACK_MS);
    }
  }

  #heard(message) {
    if ("state" in message) this.#became(message);
    else if ("faces" in message) this.#alignment.message(message);
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

  #presented(picture) {
    if (this.#isOver) return;
    this.#shown = picture.rtpTimestamp ?? 0;
    if (this.#session && picture.rtpTimestamp !== undefined) this.#alignment.picture(this.#shown);
    if (this.told.notice && (this.#state === null || this.#state.state === "online")) this.#say({ notice: "" });
    this.redraw();
    this.#follow();
  }

  #follow() {
    if (!this.video.requestVideoFrameCallback) return;
    this.video.cancelVideoFrameCallback(this.#frame); // of a session of before
    this.#frame = this.video.requestVideoFrameCallback((now, picture) => this.#presented(picture));
  }

  #lost(why, waitS = Math.min(2 ** this.#attempts++, LONGEST_WAIT_S), state = "lost") {
    this.#hangUp();
    this.#state = { state: "lost" }; // no box stays on the last picture
    this.redraw();
    if (state === "lost") this.#say({ state, word: "not connected", notice: `${why} Trying again in ${waitS} s.` });
    else this.#say({ state, word: state, notice: why });
    this.#retry = setTimeout(() => ((this.#state = null), this.watch()), waitS * 1000);
  }

  // Trying again by itself would be no use.
  #given(why) {
    this.#hangUp();
    this.#say({ state: "lost", word: "not connected", notice: why });
  }

  #refused(error) {
    const said = error instanceof Refused ? error : null;
    if (!said) {
      lookForIt();
      return this.#lost("The service does not answer.");
    }
    if (said.status === 401 || said.code === "csrf_refused") {
      refresh(); // it ends the session of the page, or has another one's header
      return this.#lost("The session was not taken.");
    }
    if (said.code === "camera_disabled") return this.#lost("This camera is disabled.", LONGEST_WAIT_S, "disabled");
    if (said.code === "too_many_sessions") return this.#lost("No more may be watched at once (ingest.webrtc.viewers).", said.retryAfter ?? LONGEST_WAIT_S);
    if (said.code === "webrtc_disabled") return this.#given("Watching is switched off here (ingest.webrtc.enabled).");
    if (said.status === 501) return this.#given("This service was installed without WebRTC (its extra “webrtc”).");
    if (said.status === 404) return this.#given("There is no such camera (any more).");
    if (said.status < 500 && said.status !== 429) return this.#given(`The service does not take this browser's offer: ${said.message}`);
    return this.#lost("The service is busy.", said.retryAfter);
  }
}
