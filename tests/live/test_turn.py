"""Publishers that come by way of a TURN server alone: coturn, which the service's answer names."""

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection

from tests.faces import KNOWN, NAME, write_film
from tests.live.browser import Browser
from tests.live.publishing import PASSWORD, STATE, Film, fake_camera, post_until_taken, watching
from tests.live.service import until
from tests.live.subscriber import names_of
from tests.live.turn import TurnServer
from tests.streamer.webrtc.peers import Publisher

pytestmark = [pytest.mark.live, pytest.mark.timeout(240)]

# What a page does is the page's; which ways it may go is the browser's.
RELAYED_ALONE = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor() { super({iceTransportPolicy: "relay"}); connections.push(this); }
  setConfiguration(found) { super.setConfiguration({...found, iceTransportPolicy: "relay"}); }
};
"""
WAY = """
const reports = [...(await connections.at(-1).getStats()).values()];
const pair = reports.find((one) => one.type === "candidate-pair" && one.nominated && one.state === "succeeded");
return reports.find((one) => one.id === pair?.localCandidateId)?.candidateType;
"""


def by_way_of(turn, monkeypatch):
    monkeypatch.setenv("TURN_PASSWORD", turn.PASSWORD)
    return {"ice_servers": [f"turn:{turn.USER}:${{TURN_PASSWORD}}@127.0.0.1:{turn.port}?transport=udp"]}


@pytest.mark.thorough
async def test_a_page_that_may_go_by_the_relay_alone(tmp_path, monkeypatch):
    switches = fake_camera(tmp_path, write_film(tmp_path / "film.mp4", ([KNOWN], 4)))
    async with (
        TurnServer(tmp_path) as turn,
        watching(tmp_path, webrtc=by_way_of(turn, monkeypatch)) as (service, heard),
        Browser(*switches) as browser,
    ):
        await browser.open(f"{service.http}/publish/door")
        await browser.run(RELAYED_ALONE)
        await browser.keys("#token", PASSWORD + "\n")
        await browser.until(f"{STATE} === 'publishing'")
        await until(lambda: [NAME] in map(names_of, heard.visits("door")), 30)
        assert await browser.run(f"return (async () => {{{WAY}}})()") == "relay"
        assert turn.PASSWORD not in service.log_file.read_text()


async def test_a_publisher_of_aiortcs_that_may_go_by_the_relay_alone(tmp_path, monkeypatch):
    async with (
        TurnServer(tmp_path) as turn,
        watching(tmp_path, webrtc=by_way_of(turn, monkeypatch)) as (service, heard),
    ):
        server = RTCIceServer(f"turn:127.0.0.1:{turn.port}?transport=udp", turn.USER, turn.PASSWORD)
        only = RTCConfiguration(iceServers=[server], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
        publisher = Publisher(Film(KNOWN), connection=RTCPeerConnection(only))
        answer, _, _ = await post_until_taken(service, publisher)
        assert answer.headers["link"] == (
            f'<turn:127.0.0.1:{turn.port}?transport=udp>; rel="ice-server"; username="relayed"; '
            'credential="p%w\\"d"; credential-type="password"'
        )
        offered = publisher.connection.localDescription.sdp
        assert {line.partition(" typ ")[2][:5] for line in offered.splitlines() if " typ " in line} == {"relay"}
        await until(lambda: [NAME] in map(names_of, heard.visits("door")), 30)
        await publisher.close()
