// One session with /whep/<camera>: an offer goes out, pictures and messages come in. Ends by close() or by itself.

const ANSWER_WITHIN_MS = 15000;

export class Refused extends Error {
  constructor(status, code, detail, retryAfter) {
    super(detail);
    Object.assign(this, { status, code, retryAfter });
  }
}

export class Session {
  #connection = new RTCPeerConnection();
  #url = null;
  #token;
  #candidates = [];
  #etag = "*";

  // on: {track(stream), message(object), state(connectionState), over()}
  constructor(token, on) {
    this.#token = token;
    const connection = this.#connection;
    connection.addTransceiver("video", { direction: "recvonly" });
    const boxes = connection.createDataChannel("boxes");
    boxes.onmessage = (event) => on.message(JSON.parse(event.data));
    boxes.onclose = () => on.over(); // the service says goodbye
    connection.ontrack = (event) => on.track(new MediaStream([event.track]));
    connection.onconnectionstatechange = () => on.state(connection.connectionState);
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      this.#candidates.push(candidate);
      if (this.#url) this.#trickle();
    };
  }

  // Candidates are looked for after the answer, which says by way of which servers (RFC 9725, 4.6).
  async open(camera) {
    const connection = this.#connection;
    const offer = await connection.createOffer();
    const answer = await this.#ask(`/whep/${encodeURIComponent(camera)}`, "POST", "application/sdp", offer.sdp);
    this.#url = new URL(answer.headers.get("Location"), location.href);
    this.#etag = answer.headers.get("ETag") ?? "*";
    const sdp = await answer.text();
    if (connection.signalingState === "closed") return this.#leave();
    connection.setConfiguration({ iceServers: iceServers(answer.headers.get("Link") ?? "") });
    await connection.setLocalDescription(offer);
    await connection.setRemoteDescription({ type: "answer", sdp });
  }

  close() {
    this.#connection.close();
    this.#leave();
  }

  get state() {
    return this.#connection.connectionState;
  }

  // In seconds; undefined where it is not known.
  async roundTrip() {
    for (const report of (await this.#connection.getStats()).values()) {
      if (report.type === "candidate-pair" && report.nominated && report.currentRoundTripTime !== undefined) {
        return report.currentRoundTripTime;
      }
    }
    return undefined;
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

  // Also while the page goes away.
  #leave() {
    if (!this.#url) return;
    fetch(this.#url, { method: "DELETE", headers: this.#headers(), keepalive: true }).catch(() => {});
    this.#url = null;
  }

  async #ask(url, method, type, body, more = {}) {
    const headers = { ...this.#headers(), "Content-Type": type, ...more };
    const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
    const answer = await fetch(url, { method, headers, body, signal });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, problem.code, problem.detail, Number(answer.headers.get("Retry-After")) || undefined);
  }

  #headers() {
    return { Authorization: `Bearer ${this.#token}` };
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
