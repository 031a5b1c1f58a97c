# SPDX-License-Identifier: GPL-3.0-or-later
"""The page in Chromium, on a run of the test radio: an alert shows, a click silences its emitter, a reload remembers it."""

import json
import re
import subprocess
import time

import pytest
from browser import open_browser
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

CARRIER = "li[data-id]"  # of the list of alerts
SCENE = {"noise_dbfs_hz": -130, "emitters": [
    {"type": "tone", "freq_hz": 433.92e6, "power_dbfs": -40, "period_s": 0.9, "on_s": 0.06},
    {"type": "tone", "freq_hz": 433.5e6, "power_dbfs": -45, "start_s": 30, "period_s": 12, "on_s": 2}]}


@pytest.fixture
def run(program, tmp_path):
    """A live run of the test radio with a page; its address, and the process."""
    (tmp_path / "scene.json").write_text(json.dumps(SCENE))
    (tmp_path / "plug").touch()
    radio = f"soapy:driver=spectrumtest,scene={tmp_path / 'scene.json'},plug={tmp_path / 'plug'}"
    words = [*program, "run", radio, "--freq", "433.7M", "--rate", "1M", "--learn", "15", "--reconnect", "--web",
             "127.0.0.1:0", "--quiet", "--band-file", str(tmp_path / "my.band"), "--events", str(tmp_path / "events.jsonl"),
             "--snippets", str(tmp_path)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    line = process.stderr.readline()
    try:
        yield re.search(r"the page is at (http://127\.0\.0\.1:\d+/)\n", line)[1], process
    finally:
        process.terminate()
        process.communicate(timeout=30)


def wait(what, limit_s, pause_s=0.1):
    end = time.monotonic() + limit_s
    while not (found := tried(what)):
        assert time.monotonic() < end, "it did not come"
        time.sleep(pause_s)
    return found


def tried(what):
    """None if the page was drawn anew meanwhile."""
    try:
        return what()
    except StaleElementReferenceException:
        return None


@pytest.mark.timeout(240)
def test_an_alert_is_seen_accepted_by_a_click_and_named(run, tmp_path):
    url, process = run
    with open_browser(url) as browser:
        text = lambda selector: browser.find_element(By.CSS_SELECTOR, selector).text  # noqa: E731
        ask = browser.execute_script
        click = lambda selector: wait(lambda: browser.find_element(By.CSS_SELECTOR, selector).click() is None, 15)  # noqa: E731
        wait(lambda: re.match(r"learning, \d+ s of 15 s", text("#pill")), 60)
        assert "Nothing is reported while the band is learned" in text("#no-alerts")
        wait(lambda: text("#pill") == "watching", 90)
        # The page notes when an alert shows; the alert says when the signal began
        ask("""window.seen = {}; new MutationObserver(() => document.querySelectorAll('#alert-rows li').forEach(
            item => window.seen[item.dataset.id] ??= Date.now() / 1000)).observe(document.querySelector('#alert-rows'),
            {childList: true})""")
        event = wait(lambda: [one.get_attribute("data-id") for one in browser.find_elements(By.CSS_SELECTOR, CARRIER)
                              if re.search(r"433\.(499|500)", one.text)], 60)[0]
        item = f"{CARRIER}[data-id='{event}']"
        opened = ask(f"return spectrumencoder.store.alerts.get('{event}').opened")
        assert ask(f"return window.seen['{event}']") - opened < 2.0
        number = ask(f"return spectrumencoder.store.alerts.get('{event}').emitter_id")
        assert ask("return spectrumencoder.store.rows.length") > 20 and not text("#empty")

        click(f"{item} [data-do=accept]")
        wait(lambda: "accepted" in text(item), 15)
        click(f"{item} [data-do=name]")
        browser.find_element(By.CSS_SELECTOR, f"{CARRIER} input").send_keys("Gate <b>opener</b>", Keys.ENTER)
        wait(lambda: "Gate <b>opener</b>" in text("#alert-rows"), 15)
        band = wait(lambda: json.loads((tmp_path / "my.band").read_text()), 10)
        assert [(e["accepted"], e["name"]) for e in band["emitters"] if e["id"] == number] == [(True, "Gate <b>opener</b>")]

        browser.refresh()
        wait(lambda: browser.find_elements(By.CSS_SELECTOR, item), 30)
        for shown in (item, f"tr[data-emitter='{number}']"):
            wait(lambda shown=shown: "accepted" in text(shown) and "Gate <b>opener</b>" in text(shown), 15)
        # The picture of its samples
        wait(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-do=picture]"), 30)
        click("[data-do=picture]")
        wait(lambda: "dBFS" in text("#picture-note"), 20)
        assert ask("""const c = document.querySelector('#picture-canvas');
            return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size""") > 20
        browser.find_element(By.CSS_SELECTOR, "#picture .primary").click()
        # The waterfall is drawn: its pixels differ, and the keys zoom it
        assert ask("""const c = document.querySelector('canvas.levels'), gl = c.getContext('webgl');
            const pixels = new Uint8Array(16 * c.width);
            gl.readPixels(0, c.height >> 1, c.width, 4, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
            return new Set(pixels).size""") > 8
        whole = ask("return spectrumencoder.view.high - spectrumencoder.view.low")
        browser.find_element(By.TAG_NAME, "body").send_keys("+", " ")
        assert ask("return spectrumencoder.view.high - spectrumencoder.view.low") < 0.8 * whole
        assert ask("return spectrumencoder.view.paused")
        wait(lambda: text("#pause") == "Go on", 10)
        # On a phone nothing is wider than the screen
        browser.set_device(390, 844, phone=True)
        for part in ("band", "alerts", "emitters", "run"):
            browser.find_element(By.CSS_SELECTOR, f"nav.tabs [data-to={part}]").click()
            assert ask("return document.documentElement.scrollWidth") <= 390
            assert ask(f"return document.querySelector('[data-panel={part}]').offsetHeight") > 400
        # It is silent: it was heard again, and opened no other alert
        wait(lambda: ask(f"return spectrumencoder.store.emitters.get({number}).bursts") >= 2, 40)
        # The radio is pulled, and put back
        browser.set_device(1440, 900)
        browser.find_element(By.CSS_SELECTOR, "#live").click()
        wait(lambda: (text("#when"), text("#now")) == ("now", "now"), 10)
        (tmp_path / "plug").unlink()
        wait(lambda: re.fullmatch(r"radio lost since \d\d:\d\d:\d\d", text("#pill")), 30)
        assert "bad" in browser.find_element(By.CSS_SELECTOR, "#pill").get_attribute("class").split()
        wait(lambda: re.fullmatch(r"\d\d:\d\d:\d\d UTC, the last", text("#when")) and text("#now") == "last", 10)
        wait(lambda: "radio lost: " in text("#log"), 10)
        (tmp_path / "plug").touch()
        wait(lambda: text("#pill") == "watching" and text("#when") == "now" and "radio back after" in text("#log"), 60)
        assert browser.errors() == []  # no refusal by the page's own policy, no script that failed
    assert process.poll() is None
    opened = [e for e in map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
              if e["state"] == "open" and e.get("emitter_id") == number]
    assert len(opened) == 1
