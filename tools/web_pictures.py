#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the pictures of the page: docs/pictures/web_*.png, by a run of the test radio and Debian's Chromium.

The radio plays as fast as it is read. The pictures are taken when it has played for PLAYED_S, before the run ends.

    .venv/bin/python tools/web_pictures.py [--out docs/pictures]
    .venv/bin/python tools/web_pictures.py --serve 127.0.0.1:8150       # the same page, for a look at it
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "web"))

PLAYED_S = 43.0
SHOTS = (("web_desktop_dark", 1440, 900, "dark", "band"), ("web_desktop_light", 1440, 900, "light", "band"),
         ("web_phone_band", 390, 844, "dark", "band"), ("web_phone_alerts", 390, 844, "light", "alerts"),
         ("web_phone_emitters", 390, 844, "light", "emitters"), ("web_phone_run", 390, 844, "dark", "run"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures")
    parser.add_argument("--serve", default="", metavar="HOST:PORT")
    options = parser.parse_args()
    from gnuradio.spectrumencoder import session
    from gnuradio.spectrumencoder.session.listening import ListenPart
    from gnuradio.spectrumencoder.session.radio import SnippetPart, run_radio
    from gnuradio.spectrumencoder.session.stats import RunStats
    from gnuradio.spectrumencoder.web.listener import WebListener

    class Shown(WebListener):
        """A page whose run waits while the pictures are taken, then ends."""

        first_s, done = None, False

        def take(self, news):
            if self.done:
                return
            super().take(news)
            for row in news.rows:
                self.first_s = self.first_s or row.posix_s
            if news.rows and news.rows[-1].posix_s - self.first_s > PLAYED_S:
                if options.serve:
                    time.sleep(3600.0)
                else:
                    take(self.server.url, options.out)
                self.done = True
                raise KeyboardInterrupt

    listener = Shown(options.serve or "127.0.0.1:0", say=print)
    with tempfile.TemporaryDirectory() as folder, RunStats(None, "") as stats:
        radio = session.RadioOptions("driver=spectrumtest,pace=0", 434e6, 2.4e6, duration=3600.0)
        run_radio(radio, session.RunSettings(learn_s=18.0), stats=stats, parts=[
            SnippetPart(Path(folder), 100.0), ListenPart([listener], snippets=Path(folder))])
    listener.close()


def take(url: str, out: Path):
    from browser import open_browser
    with open_browser(url) as browser:
        for name, width, height, theme, tab in SHOTS:
            browser.set_device(width, height, phone=width < 800)
            browser.execute_script(f"document.documentElement.dataset.theme = '{theme}';"
                                   f"document.querySelector('nav.tabs [data-to={tab}]').click(); document.activeElement.blur()")
            time.sleep(3.0)
            browser.save_screenshot(str(out / f"{name}.png"))


if __name__ == "__main__":
    main()
