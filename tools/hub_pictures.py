#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pictures of the hub's page: docs/pictures/hub_*.png, by a hub, three sensors with made-up signals, and Chromium.

    .venv/bin/python tools/hub_pictures.py [--out docs/pictures]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "web"), str(ROOT / "tests" / "hub")]
SHOTS = (("hub_desktop_dark", 1440, 900, "dark"), ("hub_desktop_light", 1440, 900, "light"), ("hub_phone", 390, 844, "dark"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    options = parser.parse_args()
    from gnuradio.spectrumencoder.hub.sender import Sender
    from gnuradio.spectrumencoder.hub.server import Hub
    from gnuradio.spectrumencoder.spool import Spool
    from hub_scene import PLACES, play
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hub = Hub("tcp://127.0.0.1:*", folder / "hub.db", web="127.0.0.1:0", say=print)
        senders = {name: Sender(hub.receiver.address, name, Spool(folder / f"{name}.spool", 1 << 24), None, {})
                   for name in PLACES}
        play(senders)
        until(lambda: hub.site.decoder.n_decoded == 4 * len(PLACES) and hub.overview()["tracks"])
        take(hub._page.url, options.out)
        for sender in senders.values():
            sender.close()
        hub.close()


def until(condition, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


def take(url: str, out: Path):
    from browser import open_browser
    with open_browser(url) as browser:
        for name, width, height, theme in SHOTS:
            browser.set_device(width, height, phone=width < 600)
            browser.execute_script("localStorage.setItem('theme', arguments[0])", theme)
            browser.get(url)
            until(lambda: len(browser.find_elements("css selector", "#alerts tbody tr")) > 3)
            browser.execute_script("[...document.querySelectorAll('#alerts tbody tr')].find("
                                   "row => row.textContent.includes('434.2')).click()")
            until(lambda: browser.find_elements("css selector", "#alerts td.level, #alerts td.nothing"))
            time.sleep(1.5)
            browser.save_screenshot(str(out / f"{name}.png"))
            print(out / f"{name}.png", browser.errors())


if __name__ == "__main__":
    main()
