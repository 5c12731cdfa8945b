// Around every screen: signing in, where one may go, and words for a service that is away.

import { lookForIt, may, service, signIn, signOut } from "./api.js";
import { toMain } from "./focus.js";
import { useObserved } from "./observable.js";
import { addressOf, Said, Trouble, useAction, Waiting } from "./parts.js";
import { html, useEffect, useErrorBoundary, useRef, useState } from "./vendor/preact.js";

// What stands in the address after #/, its title, its module and its part; role: who may go there; under: which one leads
// there; isRare: on a phone it is behind "More".
const SCREENS = {
  live: { title: "Live", one: (camera) => camera, load: () => import("./live.js").then(({ Live }) => Live) },
  events: { title: "Events", load: () => import("./events.js").then(({ Events }) => Events) },
  people: { title: "People", one: () => "Person", load: () => import("./people.js").then(({ People }) => People) },
  review: { title: "Review", load: () => import("./review.js").then(({ Review }) => Review), role: "operator" },
  cameras: { title: "Cameras", load: () => import("./cameras.js").then(({ Cameras }) => Cameras), isRare: true },
  models: { title: "Models", load: () => import("./models.js").then(({ Models }) => Models), isRare: true },
  service: { title: "Service", load: () => import("./service.js").then(({ Service }) => Service), isRare: true },
  enrol: { title: "Enrol somebody", load: () => import("./enrol.js").then(({ Enrol }) => Enrol), role: "operator", under: "people" },
};
const FIRST = "live";
const LOADED_WITHIN_MS = 20000;

function addressNow() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  let parts;
  try {
    parts = path.split("/").map(decodeURIComponent);
  } catch {
    parts = [""]; // typed by hand
  }
  const screen = Object.hasOwn(SCREENS, parts[0]) ? parts[0] : FIRST; // #/constructor is no screen
  return { screen, id: (parts[0] === screen && parts[1]) || undefined, query: new URLSearchParams(query) };
}

function useAddress() {
  const [address, set] = useState(addressNow());
  useEffect(() => {
    const changed = () => set(addressNow());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return address;
}

// What one is at, in the browser's title and for screen readers; no person's name stays in the browser's history.
function titleOf({ screen, id }) {
  const { title, one } = SCREENS[screen];
  return id === undefined || !one ? title : one(id);
}

export function Page() {
  const { session, answers } = useObserved(service);
  const address = useAddress();
  useArrival(session && `${address.screen} ${address.id}`);
  return html`
    <a class="skip" href="#main" onClick=${skip}>To the content</a>
    ${!answers && html`<div class="away" role="alert">The service does not answer. This page goes on by itself once it does.
      <button type="button" onClick=${lookForIt}>Look now</button></div>`}
    ${session === undefined && answers && html`<p class="waiting">One moment…</p>`}
    ${session === null && html`<${SignIn} />`}
    ${session && html`<${Header} session=${session} screen=${address.screen} />
      <main id="main" tabindex="-1" aria-label=${titleOf(address)}><${Screen} key=${address.screen} address=${address} /></main>`}
    <${Said} />`;
}

// Another screen begins at its top, and with the focus: what had it may be gone, and a screen reader says where one is.
function useArrival(where) {
  const before = useRef();
  useEffect(() => {
    if (where && before.current !== undefined) {
      scrollTo(0, 0);
      toMain();
    }
    before.current = where;
  }, [where]);
}

// An address of its own would be another screen.
function skip(event) {
  event.preventDefault();
  toMain();
}

function Header({ session, screen }) {
  const [leave, isBusy, problem] = useAction(signOut);
  return html`<header class="top">
    <a class="brand" href="#/live"><img src="/assets/icon.svg" alt="" width="28" height="28" /><span>whosthere</span></a>
    <${Screens} screen=${SCREENS[screen].under ?? screen} />
    <div class="who"><span title=${`Signed in by the token “${session.name}” (${session.role})`}><span class="unseen">Signed in by the token </span>${session.name}</span>
      <button type="button" disabled=${isBusy} onClick=${leave}>Sign out</button></div>
    <${Trouble} problem=${problem} />
  </header>`;
}

function Screens({ screen }) {
  const [isOpen, setOpen] = useState(false);
  const more = useRef();
  useEffect(() => setOpen(false), [screen]);
  const shown = Object.entries(SCREENS).filter(([, { under, role }]) => !under && (!role || may(role)));
  const links = (those) => those.map(([name, { title, isRare }]) => html`<li class=${isRare ? "rare" : ""}><a href=${addressOf(name)} data-title=${title} aria-current=${name === screen ? "page" : undefined} onClick=${() => setOpen(false)}>${title}</a></li>`);
  const leave = ({ key }) => key === "Escape" && isOpen && (setOpen(false), more.current.focus());
  return html`<nav aria-label="Screens" data-open=${String(isOpen)} onKeyDown=${leave}><ul>
    ${links(shown.filter(([, { isRare }]) => !isRare))}
    <li class="others"><button type="button" ref=${more} class="plain" aria-expanded=${String(isOpen)} data-current=${String(Boolean(SCREENS[screen].isRare))} onClick=${() => setOpen(!isOpen)}>More</button></li>
    ${links(shown.filter(([, { isRare }]) => isRare))}</ul></nav>`;
}

function Screen({ address }) {
  const { load, role } = SCREENS[address.screen];
  const title = titleOf(address);
  const [Shown, setShown] = useState(null);
  const [missing, setMissing] = useState(false);
  const { again } = useObserved(service);
  const [fault, mend] = useErrorBoundary((error) => console.error(error));
  useEffect(() => void (document.title = `${title} · whosthere`), [title]);
  useEffect(() => {
    setMissing(false);
    const failed = () => (setMissing(true), lookForIt());
    const timer = setTimeout(failed, LOADED_WITHIN_MS); // it may come still
    load().then((part) => (setMissing(false), setShown(() => part), fetchOthers()), failed).finally(() => clearTimeout(timer));
    return () => clearTimeout(timer);
  }, [address.screen, again]);
  if (fault) return html`<div class="trouble" role="alert"><p>This screen has a fault. Nothing is lost.</p><button type="button" onClick=${mend}>Draw it anew</button></div>`;
  if (role && !may(role)) return html`<p class="empty">Your token may look, and change nothing: its role is ${service.value.session.role}.</p>`;
  if (missing) return html`<div class="trouble" role="alert"><p>This screen could not be loaded.</p><button type="button" onClick=${() => location.reload()}>Load the page anew</button></div>`;
  return Shown ? html`<${Shown} ...${address} />` : html`<${Waiting} />`;
}

// While the service is there; each comes once.
function fetchOthers() {
  for (const { load } of Object.values(SCREENS)) load().catch(() => {}); // the screen itself says so
}

function SignIn() {
  const { why } = useObserved(service);
  const input = useRef();
  const [enter, isBusy, problem] = useAction(signIn);
  useEffect(() => {
    document.title = "Sign in · whosthere";
    input.current?.focus();
  }, []);
  async function send(event) {
    event.preventDefault();
    const token = input.current.value.trim();
    if (token) await enter(token);
    if (input.current) input.current.value = "";
  }
  const refused = problem?.status === 401 ? { message: "This token is not known here, or was revoked." } : problem;
  return html`<main id="main" tabindex="-1" class="sign-in"><form onSubmit=${send}>
    <img src="/assets/icon.svg" alt="" width="48" height="48" />
    <h1>Who’s there?</h1>
    ${why && html`<p class="notice" role="alert">${why}</p>`}
    <label for="token">Token</label>
    <input id="token" ref=${input} type="password" required autocomplete="off" autocapitalize="off" spellcheck=${false} />
    <${Trouble} problem=${refused} />
    <button type="submit" class="main" disabled=${isBusy}>${isBusy ? "One moment…" : "Sign in"}</button>
    <p class="hint">Whoever runs the service makes one: <code>whosthere tokens make NAME --role operator</code>.
      This browser keeps a session instead of it.</p>
  </form></main>`;
}
