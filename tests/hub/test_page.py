# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a hub with three sensors, in Chromium, and its addresses without one."""

import json
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from gnuradio.spectrumencoder.hub.server import Hub
from hub_rig import until
from hub_scene import play

pytest.importorskip("starlette")
sys.path.append(str(Path(__file__).resolve().parents[1] / "web"))


@pytest.fixture
def shown(tmp_path, sensor):
    """A hub with a page, and three sensors that have sent."""
    lines = []
    hub = Hub("tcp://127.0.0.1:*", tmp_path / "hub.db", web="127.0.0.1:0", say=lines.append)
    senders = {name: sensor(int(hub.receiver.address.rpartition(":")[2]), name) for name in ("roof", "hill", "harbour")}
    play(senders, groups=2)
    until(lambda: hub.site.decoder.n_decoded == 6 and hub.overview()["tracks"])
    hub.said = lines
    yield hub
    hub.close()


def test_the_overview_asks_for_a_session_and_an_alert_that_is_there(shown):
    url = shown._page.url.partition("#")[0]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url + "api/hub", timeout=20)
    assert refused.value.code == 401 and any("refused" in line for line in shown.said)
    with urllib.request.urlopen(url, timeout=20) as page:
        assert b"Hub" in page.read()
        cookie = page.headers["set-cookie"].partition(";")[0]

    def ask(path):
        return json.load(urllib.request.urlopen(urllib.request.Request(url + path, headers={"cookie": cookie}), timeout=30))
    overview = ask("api/hub")
    assert {one["sensor"] for one in overview["sensors"]} == {"roof", "hill", "harbour"} and len(overview["alerts"]) == 8
    heard = {row["sensor"]: row["hears"] for row in ask("api/hub/hears/roof/roof1")}
    assert heard == {"hill": "alert", "harbour": "level"}
    assert [feed["id"] for feed in ask("api/feeds")] == ["roof", "hill", "harbour"]
    with pytest.raises(urllib.error.HTTPError) as missing:
        ask("api/hub/hears/roof/none")
    assert missing.value.code == 404


def test_a_person_sees_who_else_hears_an_alert(shown):
    browsing = pytest.importorskip("selenium", reason="needs selenium") and __import__("browser")
    with browsing.open_browser(shown._page.url) as browser:
        def texts(selector):
            return browser.execute_script("return [...document.querySelectorAll(arguments[0])].map(one => one.textContent)",
                                          selector)
        until(lambda: len(texts("#sensors > li")) == 3 and len(texts("#alerts tbody tr")) == 4)
        assert "3 of 3 sensors here" in texts("#pill") and sorted(texts("#map .name")) == ["harbour", "hill", "roof"]
        assert len(browser.find_elements("css selector", "#map .track")) == 1
        until(lambda: re.search(r"rate [\d.]+ [kM]S/s · spectra averaged \d", " ".join(texts("#sensors .facts"))))
        assert not re.search(r"\babout\b", " ".join(texts("#sensors .facts")))  # of a kind of messages, not a guess
        next(one for one in browser.find_elements("css selector", "#alerts tbody tr") if "434.2" in one.text).click()
        until(lambda: texts("#alerts tr[aria-selected=true] td.level"))
        assert "hears" in texts("#alerts tr[aria-selected=true] td.level")[0]
        assert len(browser.find_elements("css selector", "#map .sensor.hears")) == 3
        browser.find_element("link text", "hill").click()
        until(lambda: browser.execute_script("return document.getElementById('feeds')?.value") == "hill")
        assert not browser.errors()
