"""Cameras that push by WebRTC (WHIP): a publisher's tracks into a publication, and the page that publishes."""
