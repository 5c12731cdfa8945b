// One session with /api/v1/cameras/<camera>/mjpeg over a WebSocket: JPEGs and messages come in. Ends by close() or by itself.

import { whyRefused } from "./api.js";

const SILENT_MS = 16000; // of a service that says something every 5 s
const LOOK_MS = 2000;
const OPEN_WITHIN_MS = 20000; // a proxy may let it hang

export class Pictures {
  #on;
  #socket = null;
  #told = null; // of the picture that comes next
  #newest = null;
  #isDecoding = false;
  #isOver = false;
  #heardMs = 0;
  #watch;

  // on: {picture(bitmap, told), message(object), state("connected"), over(code)}
  constructor(on) {
    this.#on = on;
  }

  // fps: at most; none: as many as there are. Raises a Problem, or null where the service would let it in.
  open(camera, fps) {
    const path = `/api/v1/cameras/${encodeURIComponent(camera)}/mjpeg${fps ? `?fps=${fps}` : ""}`;
    const url = new URL(path, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url));
    socket.binaryType = "arraybuffer";
    return new Promise((opened, refused) => {
      let isOpen = false;
      setTimeout(() => isOpen || socket.close(), OPEN_WITHIN_MS);
      socket.onopen = () => {
        isOpen = true;
        this.#heardMs = performance.now();
        this.#watch = setInterval(() => performance.now() - this.#heardMs > SILENT_MS && this.#over(""), LOOK_MS);
        this.#on.state("connected");
        opened();
      };
      socket.onmessage = ({ data }) => this.#heard(data);
      socket.onclose = ({ reason }) => {
        if (isOpen) this.#over(reason);
        else if (!this.#isOver) whyRefused(path).then(refused);
      };
    });
  }

  close() {
    this.#isOver = true;
    this.#newest = null;
    clearInterval(this.#watch);
    this.#socket?.close();
  }

  get state() {
    return this.#socket?.readyState === WebSocket.OPEN ? "connected" : "disconnected";
  }

  #over(code) {
    if (this.#isOver) return;
    this.close();
    this.#on.over(code);
  }

  #heard(data) {
    this.#heardMs = performance.now();
    if (this.#isOver) return;
    if (typeof data !== "string") {
      this.#newest = { data, told: this.#told };
      this.#show();
      return;
    }
    const message = JSON.parse(data);
    if ("jpeg" in message) this.#told = message;
    else this.#on.message(message);
  }

  // Whatever came while one was decoded gives way to the newest.
  async #show() {
    if (this.#isDecoding) return;
    this.#isDecoding = true;
    try {
      while (this.#newest) {
        const { data, told } = this.#newest;
        this.#newest = null;
        const bitmap = await createImageBitmap(new Blob([data], { type: "image/jpeg" })).catch(() => null);
        if (bitmap && told && !this.#isOver) this.#on.picture(bitmap, told);
        else bitmap?.close();
      }
    } finally {
      this.#isDecoding = false; // or no later one would be shown
    }
  }
}
