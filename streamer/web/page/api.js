// The one place that asks the service: what changes something carries the session's own header, refusals become words,
// and whether the service answers at all is known to the whole page.

import { observable } from "./observable.js";
import { isAnswered, keyOf, sendForm } from "./sending.js";

const SESSION = "/api/v1/session";

const ANSWER_WITHIN_MS = 20000;
const LONGEST_WAIT_MS = 10000;
const ASKED_AGAIN_FOR_MS = 60000; // a change whose answer was lost
const LOOK_AGAIN_MS = 2000;
const LAST_WORDS_MS = 3000;

// session: undefined while it is not known, null without one; why: what ended it, in words. answers: whether the
// service is there; again: how often it came back, so that screens ask anew.
export const service = observable({ session: undefined, why: "", answers: true, again: 0 });

export const COMPARED_WITHIN_MS = 180000; // thousands of visits are compared, the first time and after each change

// code: the service's own, or UNEXPLAINED; what is thrown without one is a fault of this page.
export class Problem extends Error {
  constructor(status, document = {}, retryAfterS = undefined) {
    const isOurs = typeof document.code === "string"; // not a proxy's page or JSON
    const { code, detail, refused = [] } = isOurs ? document : { code: UNEXPLAINED };
    super(WORDS[code] ?? detail?.replace(FOR_PROGRAMS, "") ?? unexplained(status));
    Object.assign(this, { status, code, refused: inWords(refused), retryAfterS });
  }
}

const UNEXPLAINED = "unexplained";
const IN_BETWEEN = [502, 503, 504]; // the service may have done it, or not

function unexplained(status) {
  if (IN_BETWEEN.includes(status)) return `Something between here and the service, such as a proxy, answered in its place (${status}). A change may have been done: look before you try it again.`;
  return status === 413 ? WORDS.body_too_large : `The service has a fault here (${status}); its log says more.`;
}

// What follows says how a program goes on; the page has a button for it.
const FOR_PROGRAMS = /: add them to that name, or send `force=true`.*$/s;
const WORDS = {
  too_many_attempts: "Too many wrong tokens came from here. The service lets nobody new in for a minute.",
  role_too_low: "Your token may look, and change nothing. An operator's may.",
  precondition_failed: "Somebody else has changed this meanwhile. Look at it again, then decide.",
  person_not_found: "This person is not enrolled any more.",
  visit_not_found: "Nothing is kept of this visit any more.",
  cluster_not_found: "These visits have changed since they were shown. Refresh to see them as they are.",
  cluster_changed: "Somebody else has decided on these visits meanwhile, and nothing was done. Refresh to see them as they are.",
  no_photo_accepted: "No photo was accepted, and nothing was changed:",
  body_too_large: "That is more than the service takes at once. Send fewer photos, or smaller ones.",
  calibration_too_few: "Thresholds are computed from how alike different people are: enrol two at least.",
  calibration_too_rare: "So rarely can't be told of the people who are enrolled. Ask for less, or enrol more people.",
  overloaded: "The service has too much to do just now. Try again in a moment.",
};
// By code, why of one photo, where the service's words are for programs.
const WHY = {
  face_denied: "somebody has said of a face like this one that it is not this person. If it is, take that back on their page: it shows the faces that are said not to be them.",
};
const OF_VISIT = /^[0-7][0-9A-HJKMNP-TV-Z]{25}, /; // a picture that is nobody's file

// What is the same of several pictures of a visit is said once.
function inWords(refused) {
  const told = refused.map(({ image = "", code, why, detail }) => ({ image: OF_VISIT.test(image) ? "" : image, code, why: WHY[code] ?? why ?? detail ?? code }));
  return told.filter((one, at) => one.image || told.findIndex(({ image, why }) => !image && why === one.why) === at);
}

const AWAY = new Problem(0, { code: "service_away", detail: "The service does not answer." });

// json or form: the body; onSent: of a form, how much has gone, from 0 to 1. etag: refused (412) where what it names has
// changed. keepalive: it goes on though the page is gone. Returns {data, etag}. Raises Problem.
//
// A change whose answer is lost may have been done: it is sent again under the same key, and then the service says what
// it has said the first time.
export async function ask(path, options = {}) {
  const { method = "GET", json, form, signal } = options;
  if (method === "GET" || path === SESSION) return once(path, options);
  const key = keyOf(method, path, json, form);
  const until = Date.now() + ASKED_AGAIN_FOR_MS;
  const owner = service.value.session?.name; // nobody else sends it again
  for (let isAgain = false; ; isAgain = true) {
    try {
      const answer = await once(path, options, key);
      isAnswered(key);
      return answer;
    } catch (problem) {
      const isUnderWay = problem.code === "idempotency_key_busy";
      const isOpen = problem === AWAY || isUnderWay;
      if (isOpen && Date.now() < until && (await mayGoOn(isUnderWay, until, signal)) && service.value.session?.name === owner) continue;
      if (isOpen) throw new Problem(0, { code: "unanswered", detail: "No answer came, and it may have been done. Look before you try it again." });
      const isKnown = problem.code !== "cancelled" && !(problem.code === UNEXPLAINED && IN_BETWEEN.includes(problem.status));
      if (isKnown) isAnswered(key);
      if (isAgain && problem.status) problem.message = `The first answer was lost, and it may have been done. Asked again: ${problem.message}`;
      throw problem;
    }
  }
}

// Whether it can be asked again: the service is there, or may be done with it by now.
async function mayGoOn(isUnderWay, until, signal) {
  if (isUnderWay) await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
  while (!service.value.answers && Date.now() < until && !signal?.aborted) await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS / 10));
  return service.value.answers && !signal?.aborted;
}

async function once(path, { method = "GET", json, form, etag, signal, withinMs = ANSWER_WITHIN_MS, onSent, keepalive = false } = {}, key = undefined, isAgain = false) {
  const headers = { Accept: "application/json", ...(method === "GET" ? {} : ofSession()), ...(key && { "Idempotency-Key": key }) };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  if (etag) headers["If-Match"] = etag;
  let sent = form ? 0 : 1;
  let answer;
  try {
    if (form) answer = await sendForm(path, { method, headers, form, signal, onSent: (part) => ((sent = part), onSent?.(part)) });
    else answer = await fetch(path, { method, headers, keepalive, body: json === undefined ? undefined : JSON.stringify(json), signal: limitOf(signal, withinMs) });
  } catch {
    throw notAnswered(signal, key && sent === 1);
  }
  if (answer.ok) return { data: await wholeOf(answer, signal), etag: answer.headers.get("ETag") };
  const problem = new Problem(answer.status, (await answer.json().catch(() => null)) ?? {}, Number(answer.headers.get("Retry-After")) || undefined);
  if (problem.code === "csrf_refused" && !isAgain && (await refresh())) {
    return once(path, { method, json, form, etag, signal, withinMs, onSent, keepalive }, key, true); // another tab has begun another session
  }
  if (answer.status === 401 && path !== SESSION) over();
  if (problem.code === "service_stopping") lookForIt();
  throw problem;
}

// Given up with who asks, or when it takes too long; browsers of before 2024 have no signal made of others.
function limitOf(signal, withinMs) {
  const limit = new AbortController();
  const giveUp = () => limit.abort();
  if (signal?.aborted) giveUp();
  signal?.addEventListener("abort", giveUp);
  if (withinMs < Infinity) setTimeout(giveUp, withinMs);
  return limit.signal;
}

// Why a WebSocket was not let in, whose refusals no script can read: the Problem of a request for the same, null for none.
export async function whyRefused(path) {
  const seen = new AbortController();
  try {
    const answer = await fetch(path, { signal: limitOf(seen.signal, ANSWER_WITHIN_MS) });
    if (answer.ok) return null;
    return new Problem(answer.status, (await answer.json().catch(() => null)) ?? {}, Number(answer.headers.get("Retry-After")) || undefined);
  } catch {
    return notAnswered();
  } finally {
    seen.abort(); // it would go on for ever
  }
}

// Headers of whatever else changes something, like a WHEP session.
export function ofSession() {
  const csrf = service.value.session?.csrf;
  return csrf ? { "X-CSRF-Token": csrf } : {};
}

export async function signIn(token) {
  const { data } = await ask(SESSION, { method: "POST", json: { token } });
  service.set({ session: data, why: "" });
}

const lastWords = [];

// What has to be done as whoever is signed in still; a promise is waited for, but not for long: the screen is others' next.
export const beforeSignOut = (run) => void lastWords.push(run);

export async function signOut() {
  const enough = new Promise((done) => setTimeout(done, LAST_WORDS_MS));
  await Promise.race([Promise.all(lastWords.map((run) => run())), enough]);
  await ask(SESSION, { method: "DELETE" }).catch((problem) => {
    if (problem.status !== 401) throw problem;
  });
  service.set({ session: null, why: "" });
}

// Whether there is a session, as the service has it now.
export async function refresh() {
  try {
    service.set({ session: (await ask(SESSION)).data });
    return true;
  } catch (problem) {
    if (problem.status === 401) over();
    else if (problem !== AWAY) lookForIt();
    return false;
  }
}

function over() {
  const had = service.value.session;
  const why = had ? "Your session is over: its token was revoked, or its time was up." : "";
  service.set({ session: null, why: why || service.value.why });
}

let isLooking = false;

// Asks until somebody answers; whoever has failed waits for `again`.
export async function lookForIt() {
  if (isLooking) return;
  isLooking = true;
  service.set({ answers: false });
  for (let waitMs = 500; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    await new Promise((done) => setTimeout(done, waitMs));
    const answer = await fetch("/healthz", { signal: limitOf(null, 5000) }).catch(() => null);
    if (answer?.ok) break;
  }
  isLooking = false;
  service.set({ answers: true });
  await refresh();
  service.set({ again: service.value.again + 1 });
}

// A document that breaks off is no answer.
async function wholeOf(answer, signal) {
  if (answer.status === 204) return null;
  try {
    return await answer.json();
  } catch {
    throw notAnswered(signal);
  }
}

function notAnswered(signal, mayBeDone = false) {
  if (signal?.aborted) return new Problem(0, { code: "cancelled", detail: mayBeDone ? "Stopped, but all of it had gone already: it may have been done. Look before you send it again." : "Stopped. Nothing was changed." });
  lookForIt();
  return AWAY;
}

export const may = (role) => {
  const roles = ["viewer", "operator", "admin"];
  return roles.indexOf(service.value.session?.role) >= roles.indexOf(role);
};
