# SPDX-License-Identifier: GPL-3.0-or-later
"""``run --web`` on the command line: its value, what it prints, what it refuses, and what its page is given by a run."""

import json
import re
import threading
import urllib.request

import pytest
from gnuradio.spectrumencoder.cli.listeners.web import completed
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.web.listener import WebListener


@pytest.mark.parametrize("words, done", [
    (["run", "a.wav", "--web"], ["run", "a.wav", "--web=127.0.0.1:8143"]),
    (["run", "--web", "a.wav"], ["run", "--web=127.0.0.1:8143", "a.wav"]),
    (["run", "--web", "soapy:driver=rtlsdr", "--quiet"], ["run", "--web=127.0.0.1:8143", "soapy:driver=rtlsdr", "--quiet"]),
    (["run", "a.wav", "--web", "0.0.0.0:80"], ["run", "a.wav", "--web=0.0.0.0:80"]),
    (["run", "a.wav", "--web", "[::1]:80", "-q"], ["run", "a.wav", "--web=[::1]:80", "-q"]),
    (["run", "a.wav", "--web", ":80"], ["run", "a.wav", "--web=:80"]),
    (["run", "a.wav", "--web=x"], ["run", "a.wav", "--web=x"]),
    (["--web"], ["--web=127.0.0.1:8143"]), ([], []),
])
def test_the_address_may_be_left_out(words, done):
    assert completed(words) == done


@pytest.mark.parametrize("words, said", [
    (("--web=nowhere:port",), "--web nowhere:port is not HOST:PORT"),
    (("--web=127.0.0.1:0", "--web-token", "short"), "--web-token: a token has 16 printable characters"),
    (("--web-name", "radio.example"), "are for --web"), (("--web-token", "correct-horse-battery"), "are for --web"),
])
def test_what_makes_no_sense_is_one_line(words, said, demo_scene, capsys):
    assert main(["run", str(demo_scene), *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ") and said in lines[-1]


@pytest.mark.parametrize("words, shown", [
    (("--web=127.0.0.1:0",), r"the page is at http://127\.0\.0\.1:\d+/\n"),
    (("--web=0.0.0.0:0",), r"the page is at http://127\.0\.0\.1:\d+/#token=[\w-]{32} \(whoever has this address may steer"),
    (("--web=127.0.0.1:0", "--web-name", "radio.example"), r"/#token=[\w-]{32} \(whoever"),
    (("--web=127.0.0.1:0", "--web-token", "correct-horse-battery"), r"/#token=correct-horse-battery\n"),
], ids=["loopback", "network", "proxy", "own token"])
def test_a_run_says_where_its_page_is(words, shown, demo_scene, model_file, tmp_path, capsys):
    assert main(["run", str(demo_scene), "--model", str(model_file), "--json", str(tmp_path / "s.json"), *words]) == 0
    assert re.search(shown, capsys.readouterr().err)
    assert json.loads((tmp_path / "s.json").read_text())["web"] == {"viewers_max": 0, "lost_rows": 0, "refused": 0}
    assert not any(thread.name == "web" for thread in threading.enumerate())


def test_the_page_of_a_run_knows_its_band_and_its_history(demo_scene, model_file, tmp_path, monkeypatch):
    """At the end of a real run: what a page that opens then is given."""
    found = {}

    def end(self, notes):
        base = f"http://127.0.0.1:{self.server.port}"
        with urllib.request.urlopen(base) as page:
            cookie = page.headers["set-cookie"].partition(";")[0]
        asked = urllib.request.Request(f"{base}/api/feeds/run/past", headers={"Cookie": cookie})
        with urllib.request.urlopen(asked) as answer:
            found["past"] = json.load(answer)
        from gnuradio.spectrumencoder.web.feed import Viewer
        found["all"], *found["rows"] = self.everything(Viewer(lambda: None))
        real(self, notes)
    real = WebListener.end
    monkeypatch.setattr(WebListener, "end", end)
    earlier = ["run", str(demo_scene), "--model", str(model_file), "--history", str(tmp_path / "site.db"), "--quiet"]
    assert main(earlier) == 0
    assert main([*earlier, "--web=127.0.0.1:0", "--band-file", str(tmp_path / "b.band")]) == 0
    known = json.loads(found["all"])
    assert known["about"]["has_history"] and not known["about"]["is_radio"] and known["ended"] is None
    assert len(known["alerts"]) == 1 and abs(known["alerts"][0]["freq_center_hz"] - 869.164e6) < 5e3
    assert known["state"]["learning"]["learning"] is False and known["state"]["health"]["frames"] > 0
    expected, = known["expected"]
    assert len(expected["dbfs"]) == known["about"]["fft_size"] and known["emitters"] and known["signals"]
    assert found["rows"] and abs(found["past"][0]["freq_center_hz"] - 869.164e6) < 5e3 and found["past"][0]["state"] == "close"


def test_a_page_holds_a_scan_and_sends_it_elsewhere(model_file, monkeypatch, capsys):
    seen, refused = [], []

    def take(self, news):
        real(self, news)
        seen.extend(row.tuning.center_hz / 1e6 for row in news.rows)
        if len(seen) > 60 and not held:
            self.order({"scan": {"pause": True}})
            held.append(len(seen))
        if held and len(seen) > held[0] + 100 and len(held) == 1:
            for bad in ({"scan": {"ranges": "nonsense"}}, {"tune": {"freq": 1e8}}):
                with pytest.raises(ValueError) as error:
                    self.order(bad)
                refused.append(str(error.value))
            self.order({"scan": {"ranges": "430e6:436e6"}})
            self.order({"scan": {"pause": False}})
            held.append(len(seen))
    real, held = WebListener.take, []
    monkeypatch.setattr(WebListener, "take", take)
    assert main(["run", "soapy:driver=spectrumtest,pace=0", "--scan", "88M:108M", "--rate", "2.4M", "--duration", "25", "--quiet",
                 "--learn", "5", "--model", str(model_file), "--web=127.0.0.1:0"]) == 0
    first, then = held
    assert len(set(seen[:first])) > 5 and max(seen[:first]) < 110
    assert len(set(seen[first + 40:then])) == 1  # it stays where it is
    assert min(seen[-20:]) > 429 and len(set(seen[-20:])) > 1
    assert len(refused) == 2 and "nonsense" in refused[0] and "a scan tunes by itself" in refused[1]
