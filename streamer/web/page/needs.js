// Runs before the page, in any browser whatever its age: one that is too old for it, or has not got all of it, says so.
// No module, and in words of 2009: a browser that can't read this shows nothing at all.

(function () {
  function show(id) {
    document.getElementById(id).removeAttribute("hidden");
  }
  // What came last into browsers of what the page can't do without; its other needs are older, modules among them.
  var isEnough =
    window.AbortSignal && AbortSignal.timeout && // Chrome 103, Safari 16
    [].findLast && Object.hasOwn && window.HTMLDialogElement &&
    (!window.RTCPeerConnection || "connectionState" in RTCPeerConnection.prototype); // Firefox 113
  if (!isEnough) show("too-old");
  // A part that did not come is told of at its element alone, not further up.
  window.addEventListener("error", function (event) {
    if (event.target && event.target.nodeName === "SCRIPT") show("not-loaded");
  }, true);
})();
