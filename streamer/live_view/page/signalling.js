// RFC 9725, and WHEP, which is the same: an offer goes out, an answer comes in, candidates follow, DELETE ends it.

const ANSWER_WITHIN_MS = 15000;

const unsaid = []; // goodbyes to sessions that were lost together with the network

function sayGoodbye({ url, headers }) {
  return fetch(url, { method: "DELETE", headers, keepalive: true }).catch(() => unsaid.push({ url, headers }));
}

export class Refused extends Error {
  constructor(status, code, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, code, retryAfter });
  }
}

export class Signalling {
  #connection;
  #url = null;
  #login;
  #candidates = [];
  #etag = "*";

  // login: a token, or the headers that go with a session's cookie.
  constructor(login, connection) {
    this.#login = login;
    this.#connection = connection;
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      this.#candidates.push(candidate);
      if (this.#url) this.#trickle();
    };
  }

  // endpoint: "/whip/door". Candidates are looked for after the answer, which says by way of which servers (4.6).
  async open(endpoint) {
    await Promise.all(unsaid.splice(0).map(sayGoodbye)); // or they would take up places for half a minute
    const connection = this.#connection;
    const offer = await connection.createOffer();
    const answer = await this.#ask(endpoint, "POST", "application/sdp", offer.sdp);
    this.#url = new URL(answer.headers.get("Location"), location.href);
    this.#etag = answer.headers.get("ETag") ?? "*";
    const sdp = await answer.text();
    if (connection.signalingState === "closed") return this.leave();
    connection.setConfiguration({ iceServers: iceServers(answer.headers.get("Link") ?? "") });
    await connection.setLocalDescription(offer);
    await connection.setRemoteDescription({ type: "answer", sdp });
  }

  // Also while the page goes away.
  leave() {
    if (!this.#url) return;
    sayGoodbye({ url: this.#url, headers: this.#headers() });
    this.#url = null;
  }

  async #trickle() {
    await Promise.resolve(); // those of one moment go together
    if (!this.#candidates.length || !this.#url) return;
    const [first] = this.#candidates;
    const lines = this.#candidates.splice(0).map(({ candidate }) => `a=${candidate}`);
    const fragment = [`a=ice-ufrag:${first.usernameFragment}`, `m=video 9 RTP/AVP 0`, `a=mid:${first.sdpMid}`, ...lines];
    const body = fragment.join("\r\n") + "\r\n";
    // One that is not taken is no fault yet: there may be another way, and connectionState tells.
    await this.#ask(this.#url, "PATCH", "application/trickle-ice-sdpfrag", body, { "If-Match": this.#etag }).catch(() => {});
  }

  async #ask(url, method, type, body, more = {}) {
    const headers = { ...this.#headers(), "Content-Type": type, ...more };
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const answer = await fetch(url, { method, headers, body, signal });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.code, problem.detail, Number(answer.headers.get("Retry-After")) || undefined);
  }

  // A header takes bytes: those of UTF-8, as the service reads them.
  #headers() {
    if (typeof this.#login !== "string") return this.#login;
    return { Authorization: `Bearer ${String.fromCharCode(...new TextEncoder().encode(this.#login))}` };
  }
}

// `Link: <turn:host:3478>; rel="ice-server"; username="..."; credential="..."`, several in one header.
function iceServers(links) {
  const servers = [];
  for (const [, url, rest] of links.matchAll(/<([^>]+)>((?:\s*;\s*[a-z-]+="(?:[^"\\]|\\.)*")*)/gi)) {
    const values = Object.fromEntries(
      [...rest.matchAll(/([a-z-]+)="((?:[^"\\]|\\.)*)"/gi)].map(([, key, value]) => [key, value.replace(/\\(.)/g, "$1")]),
    );
    if (values.rel !== "ice-server") continue;
    servers.push(values.username ? { urls: url, username: values.username, credential: values.credential } : { urls: url });
  }
  return servers;
}
