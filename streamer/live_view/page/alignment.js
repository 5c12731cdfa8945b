// Which message belongs to the picture that is on the screen.
//
// A picture's RTP timestamp is its media_time plus an offset that nobody tells. Times are uneven, so that a wrong pairing of
// pictures and messages gives another offset each time, and the right one the same again and again. Pictures that come with
// their media_time have the offset 0.

const KEPT = 60;
const SAME = 3; // pairings that agree
const LOST = 100; // pictures without their message: the offset is another one
const STALE = 45000; // 1/90000 s: a box that is older than that is where nobody is any more

export class Alignment {
  #pictures = [];
  #messages = [];
  #votes = new Map();
  #offset = null;
  #missed = 0;

  constructor(offset = null) {
    this.#offset = offset;
  }

  message(message) {
    push(this.#messages, message);
    for (const rtp of this.#pictures) this.#vote(rtp, message);
  }

  picture(rtp) {
    push(this.#pictures, rtp);
    for (const message of this.#messages) this.#vote(rtp, message);
    if (this.#offset !== null && !this.exact(rtp) && ++this.#missed > LOST) {
      this.#offset = null;
      this.#votes.clear();
    }
  }

  // The message of this very picture; undefined where it has not come, or nothing is known yet.
  exact(rtp) {
    if (this.#offset === null) return undefined;
    const found = this.#messages.find((message) => message.media_time === (rtp - this.#offset) >>> 0);
    if (found) this.#missed = 0;
    return found;
  }

  // Else that of the last one before it, or, as long as nothing is known, the newest.
  best(rtp) {
    if (this.#offset === null || rtp === undefined) return this.#messages.at(-1);
    const at = (rtp - this.#offset) >>> 0;
    return this.#messages.findLast((message) => ((at - message.media_time) >>> 0) < STALE);
  }

  clear() {
    this.#messages = [];
  }

  #vote(rtp, message) {
    if (this.#offset !== null) return;
    const offset = (rtp - message.media_time) >>> 0;
    const votes = (this.#votes.get(offset) ?? 0) + 1;
    this.#votes.set(offset, votes);
    if (votes >= SAME) {
      this.#offset = offset;
      this.#missed = 0;
    }
    if (this.#votes.size > 10000) this.#votes.clear();
  }
}

function push(list, item) {
  list.push(item);
  if (list.length > KEPT) list.shift();
}
