# SPDX-License-Identifier: GPL-3.0-or-later
"""`spectrumencoder survey` on the test radio: it lists the emitters of a band and no others."""

import json

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.cli.main import main
from gnuradio.spectrumencoder.session.scanning import ScanOptions, ScanPart

STATIONS_MHZ = (88.6, 90.3, 92.1, 94.8, 96.2, 98.9, 100.7, 102.4, 104.6, 106.9)  # of the built-in scene
RADIO = "soapy:driver=spectrumtest,pace=0"


def survey(capsys, *arguments):
    """(the signals, stdout) of a survey that is run in this process."""
    status = main(["survey", *map(str, arguments)])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def test_the_fm_band_has_its_stations_and_nothing_else(capsys, tmp_path):
    """At full speed a busy machine retunes late, by the samples: 40 s of them are a sweep at least."""
    out = survey(capsys, RADIO, "--scan", "88M:108M", "--rate", "2.4M", "--duration", 40, "--json", tmp_path / "fm.json",
                 "--plot", tmp_path / "fm.png", "--markdown", tmp_path / "fm.md")
    source, = json.loads((tmp_path / "fm.json").read_text())["sources"]
    rows = source["signals"]
    assert [round(row["freq_center_hz"] / 1e6, 1) for row in rows] == list(STATIONS_MHZ)
    for row in rows:
        assert abs(row["freq_center_hz"] / 1e6 - round(row["freq_center_hz"] / 1e6, 1)) < 0.02
        assert 80e3 < row["bandwidth_hz"] < 200e3  # 99 % of noise-like audio at a deviation of 75 kHz
        assert row["duty_cycle"] > 0.95 and row["bursts"] == 1 and row["last_heard"] > row["first_heard"]
    by_level = sorted(rows, key=lambda row: -row["power_dbfs"])
    assert [round(row["freq_center_hz"] / 1e6, 1) for row in by_level[:2]] == [94.8, 88.6]
    assert out.splitlines()[0].split(": ")[1].startswith("10 signals in 40 s") and len(out.splitlines()) == 12
    assert (tmp_path / "fm.png").stat().st_size > 10_000 and (tmp_path / "fm.md").read_text().count(" MHz |") == 10


def test_a_band_with_sensors(make_scene, capsys, tmp_path):
    scene = make_scene({"freq_hz": 433.92e6, "power_dbfs": -40, "period_s": 0.9, "on_s": 0.06},
                       {"type": "noise", "freq_hz": 434.4e6, "bandwidth_hz": 125e3, "power_dbfs": -42, "period_s": 1.7,
                        "on_s": 0.25},
                       {"freq_hz": 433.5e6, "power_dbfs": -45, "start_s": 3, "stop_s": 5}, noise_dbfs_hz=-125)
    survey(capsys, f"{RADIO},scene={scene}", "--freq", "434M", "--rate", "2.4M", "--json", tmp_path / "s.json")
    late, tone, noise = json.loads((tmp_path / "s.json").read_text())["sources"][0]["signals"]
    assert [round(row["freq_center_hz"] / 1e6, 2) for row in (late, tone, noise)] == [433.5, 433.92, 434.4]
    assert noise["bandwidth_hz"] == pytest.approx(125e3, rel=0.1) and tone["bandwidth_hz"] < 12e3
    assert tone["bursts"] >= 11 and noise["bursts"] >= 5
    assert tone["duty_cycle"] == pytest.approx(0.067, abs=0.02) and noise["duty_cycle"] == pytest.approx(0.147, abs=0.03)
    assert late["last_heard"] - late["first_heard"] == pytest.approx(2.0, abs=0.1)
    assert late["first_heard"] - noise["first_heard"] == pytest.approx(3.0, abs=0.1)


def test_a_scan_that_moves_its_hops_lists_the_same(live_run):
    """Hops move from sweep to sweep: each is a tuning of its own, and a station is one row none the less."""
    scan = ScanPart(ScanOptions("98.2e6:101.2e6", dwell_ms=60.0, usable=0.8, jitter=0.1))
    outcome = live_run("pace=0", freq=98.5e6, rate=2.4e6, duration=6.0, parts=[scan], survey=True,
                       settings={"model": "base", "usable": 0.8, "settle_ms": 10.0, "events": None})
    assert [round(row[keys.FREQ_CENTER_HZ] / 1e6, 1) for row in outcome.signals] == [98.9, 100.7]
    assert not any("learn" in note for note in outcome.notes)


def test_what_is_for_recordings_is_refused(capsys):
    assert main(["survey", RADIO, "--freq", "1e8", "--rate", "1e6", "--start", "2026-01-01T00:00:00Z"]) == 2
    assert "--start is not for a radio" in capsys.readouterr().err
    assert main(["survey", RADIO, "--rate", "1e6"]) == 2
    assert "a radio needs --rate HZ and --freq HZ" in capsys.readouterr().err
