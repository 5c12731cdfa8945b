"""What a bad link does to an open page: it is slow, away, breaks, or loses what the service answered.

Scripts for the browser, and how it is connected.
"""

from tests.live.browser import Browser

# The service does it, once, and its answer is lost on the way.
LOST = """
const [method, part] = arguments;
window.lost = 0;
window.ours ??= window.fetch;
window.fetch = async (path, how) => {
  const answer = await window.ours(path, how);
  if (window.lost || how?.method !== method || !String(path).includes(part)) return answer;
  window.lost++;
  throw new TypeError("network error");
};
"""
LOST_FORM = """
const open = XMLHttpRequest.prototype.open;
XMLHttpRequest.prototype.open = function (...how) {
  XMLHttpRequest.prototype.open = open;
  this.addEventListener("load", (event) => {
    event.stopImmediatePropagation();
    window.lostForm = this.status;
    this.dispatchEvent(new ProgressEvent("error"));
  });
  open.apply(this, how);
};
"""
# The connection breaks while photos are sent.
BROKEN = """
const send = XMLHttpRequest.prototype.send;
window.isBroken = false;
XMLHttpRequest.prototype.send = function (body) {
  XMLHttpRequest.prototype.send = send;
  this.upload.addEventListener("progress", () => ((window.isBroken = true), this.abort()), {once: true});
  send.call(this, body);
};
"""


async def link(browser: Browser, *, offline: bool = False, up_kb_s: float = 0.0) -> None:
    """How the browser is connected from now on; 0: as fast as it can be."""
    up = up_kb_s * 1000 or -1
    await browser.devtools("Network.enable")
    await browser.devtools(
        "Network.emulateNetworkConditions", offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=up
    )
