// One session with /whep/<camera>: pictures and messages come in. Ends by close() or by itself.

import { Signalling } from "./signalling.js";

export { Refused } from "./signalling.js";

export class Session {
  #connection = new RTCPeerConnection();
  #signalling;

  // on: {track(stream), message(object), state(connectionState), over()}
  constructor(login, on) {
    const connection = this.#connection;
    this.#signalling = new Signalling(login, connection);
    const { receiver } = connection.addTransceiver("video", { direction: "recvonly" });
    receiver.jitterBufferTarget = 0; // now is worth more than smooth
    const boxes = connection.createDataChannel("boxes");
    boxes.onmessage = (event) => on.message(JSON.parse(event.data));
    boxes.onclose = () => on.over(); // the service says goodbye
    connection.ontrack = (event) => on.track(new MediaStream([event.track]));
    connection.onconnectionstatechange = () => on.state(connection.connectionState);
  }

  open(camera) {
    return this.#signalling.open(`/whep/${encodeURIComponent(camera)}`);
  }

  close() {
    this.#connection.close();
    this.#signalling.leave();
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
}
