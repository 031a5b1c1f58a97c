# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures: what they say of one signal, their legend, their formats, and the picture of a scan."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display import picture_file, run_picture, scan_picture
from gnuradio.spectrumencoder.display.appearance import event_label
from gnuradio.spectrumencoder.display.grouping import join_by_signal
from gnuradio.spectrumencoder.display.run_picture import save_plot
from gnuradio.spectrumencoder.display.scan_picture import save_scan
from gnuradio.spectrumencoder.display.sweep_rows import MAX_ROWS, SweepRows
from gnuradio.spectrumencoder.display.waterfall import Waterfall

RATE, FREQ, HOP = 2.4e6, 98e6, 16384
MAGIC = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml", "": b"\x89PNG"}


def alert(number, center_hz, width_hz, first, count, level="LOW", **more):
    return {keys.EVENT_ID: f"e{number}", keys.ALERT: "new", keys.LABEL: "FM", keys.FREQ_CENTER_HZ: center_hz,
            keys.BANDWIDTH_HZ: width_hz, keys.SAMPLE_START: first * HOP, keys.SAMPLE_COUNT: count * HOP, keys.SNR_DB: 12.0,
            keys.THREAT_LEVEL: level} | more


STATION = {keys.SIGNAL_ID: 1, keys.LABEL: "FM", keys.CONFIDENCE: 0.9, keys.FREQ_CENTER_HZ: 98.9e6, keys.BANDWIDTH_HZ: 150e3,
           keys.POWER_DBFS: -40.0, keys.SAMPLE_START: 0, keys.SAMPLE_COUNT: 80 * HOP, keys.SNR_DB: 40.0}
EDGES = [alert(1, 98.832e6, 72.7e3, 0, 20), alert(2, 98.9715e6, 56.2e3, 10, 30, "HIGH"), alert(3, 98.969e6, 56.2e3, 60, 5)]


def waterfall(frames=80, residual=1.0):
    made = Waterfall()
    made.begin(0, HOP, FREQ, RATE)
    rows = np.random.default_rng(0).normal(-90, 1, (frames, 256)).astype(np.float32)
    made.add(rows, np.full_like(rows, residual))
    return made


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they were saved."""
    figures = []
    for module in (run_picture, scan_picture):
        monkeypatch.setattr(module, "save", lambda figure, path: (figures.append(figure), picture_file.save(figure, path)))
    return figures


def texts(axes):
    return [text.get_text() for text in axes.texts]


def legend(axes):
    return [] if axes.get_legend() is None else [text.get_text() for text in axes.get_legend().get_texts()]


def test_several_alerts_of_one_station_are_one():
    joined = join_by_signal([*EDGES, alert(9, 97.2e6, 10e3, 0, 5)], [STATION])
    assert [(e[keys.EVENT_ID], e[keys.SAMPLE_START] // HOP, e[keys.SAMPLE_COUNT] // HOP) for e in joined] == [
        ("e1", 0, 40), ("e1", 60, 5), ("e9", 0, 5)]
    assert {e[keys.THREAT_LEVEL] for e in joined[:2]} == {"HIGH"}
    assert event_label(joined[0]) == "new: FM\n98.9000 MHz, 150 kHz wide, 3 alerts"


def test_an_alert_alone_or_wider_than_the_signal_stays_as_it_is():
    wide = alert(2, 98.9e6, 1e6, 0, 5)
    events = [EDGES[0], EDGES[0] | {keys.SAMPLE_START: 30 * HOP}, wide, {keys.EVENT_ID: "placeless"}]
    joined = join_by_signal(events, [STATION])
    assert sorted(joined, key=id) == sorted(events, key=id)
    assert join_by_signal(events, None) == events


def test_a_station_has_one_label(drawn, tmp_path):
    bursts = [STATION | {keys.SIGNAL_ID: n, keys.SAMPLE_START: 10 * n * HOP, keys.SAMPLE_COUNT: 8 * HOP} for n in range(8)]
    save_plot(tmp_path / "quiet.png", waterfall(), [], "quiet", signals=bursts, listed=[STATION])
    save_plot(tmp_path / "alerts.png", waterfall(), EDGES, "alerts", signals=bursts, listed=[STATION])
    quiet, alerts = (figure.axes[0] for figure in drawn)
    assert texts(quiet) == ["FM 90 %"] and legend(quiet) == ["signal"]
    assert texts(alerts) == ["new: FM\n98.9000 MHz, 150 kHz wide, 3 alerts"]
    assert legend(alerts) == ["signal", "alert, HIGH"]


@pytest.mark.parametrize(("width_hz", "words"), [(2e6, "2 MHz"), (999.9e3, "1 MHz"), (200e3, "200 kHz"), (12.5e3, "12.5 kHz"),
                                                 (400.0, "400 Hz")])
def test_widths_are_in_plain_units(width_hz, words):
    assert event_label(alert(1, FREQ, width_hz, 0, 1)) == f"new: FM\n98.0000 MHz, {words} wide, 12 dB"


def test_the_label_of_a_whole_frame_is_not_shown_as_that_of_an_event():
    assert event_label({keys.LABEL: "LoRa", keys.FREQ_CENTER_HZ: FREQ, keys.P_VALUE: 0.01}) == "98.0000 MHz, p 1.0e-02"


def test_frames_that_were_not_judged_and_gaps_are_in_the_legend(drawn, tmp_path):
    made = waterfall(40)
    made.begin(60 * HOP, HOP, FREQ, RATE)
    made.add(np.full((20, 256), -90.0, np.float32), np.zeros((20, 256), np.float32))
    save_plot(tmp_path / "run.png", made, [], "run")
    save_plot(tmp_path / "whole.png", waterfall(), [], "whole")
    assert legend(drawn[0].axes[1]) == ["not judged: the machine was too slow", "not received"]
    assert np.isnan(drawn[0].axes[1].images[1].get_array().filled(np.nan)).all()
    assert legend(drawn[1].axes[1]) == []


def test_the_axis_of_time_ends_with_the_samples(drawn, tmp_path):
    made = Waterfall(8)
    made.begin(0, HOP, FREQ, RATE)
    made.add(np.full((33, 256), -90.0, np.float32), np.ones((33, 256), np.float32))
    save_plot(tmp_path / "run.png", made, [], "run")
    assert drawn[0].axes[0].get_ylim()[0] == pytest.approx(33 * HOP / RATE)


@pytest.mark.parametrize("suffix", MAGIC)
def test_the_suffix_chooses_the_format(tmp_path, suffix):
    path = tmp_path / f"run{suffix}"
    save_plot(path, waterfall(), EDGES, "run", signals=[STATION], listed=[STATION])
    assert path.read_bytes().startswith(MAGIC[suffix])


def test_another_suffix_is_an_error():
    with pytest.raises(ValueError, match=r"x\.jpg: pictures are PNG, PDF or SVG; name a file that ends in"):
        picture_file.picture_format(picture_file.Path("x.jpg"))


def sweeps(count, ranges=((88e6, 2000), (433e6, 400)), bin_hz=2343.75):
    rows, sample = SweepRows(), 0
    for number in range(count):
        for start_hz, n_bins in ranges:
            row = np.random.default_rng(number).normal(-90, 1, n_bins).astype(np.float32)
            row[100:140] += 40
            rows.add(row, start_hz, bin_hz, sample, 50 * HOP)
            sample += 50 * HOP
    return rows


@pytest.mark.parametrize("count", [1, 7, MAX_ROWS + 1, 2 * MAX_ROWS + 5])
def test_rows_of_sweeps_are_bounded_and_complete(count):
    first, _ = sweeps(count).ranges()
    assert first.n_sweeps == count and len(first.rows) == len(first.starts) <= MAX_ROWS
    assert first.starts[0] == 0 and first.stop == (2 * count - 1) * 50 * HOP
    assert set(np.diff(first.starts)) == ({first.merge * 100 * HOP} if count > 1 else set())
    piece = first.piece()
    assert piece.mean_db[120] == pytest.approx(-50, abs=3) and (piece.max_db >= piece.mean_db - 1e-4).all()
    assert first.rows[0].max() > -55 and first.rows[-1].max() > -55


def test_a_scan_has_a_panel_for_each_range_with_its_signals_and_alerts(drawn, tmp_path):
    signal = STATION | {keys.FREQ_CENTER_HZ: 88e6 + 120 * 2343.75, keys.BANDWIDTH_HZ: 90e3}
    event = alert(1, 433e6 + 120 * 2343.75, 90e3, 150, 20, "HIGH")
    save_scan(tmp_path / "scan.pdf", sweeps(5), [event], [signal, signal | {keys.FREQ_CENTER_HZ: event[keys.FREQ_CENTER_HZ]}],
              "scan", RATE, [89e6])
    upper, other, lower, below = drawn[0].axes[:4]
    assert texts(upper) == ["FM 90 %\n88.281 MHz"] and texts(other) == []  # the alert's label is in the waterfall
    assert texts(lower) == [] and texts(below) == [event_label(event)]
    assert len(below.patches) == 2 and legend(lower) == ["alert, HIGH", "where hops join"]
    assert (tmp_path / "scan.pdf").read_bytes().startswith(b"%PDF")


def test_a_scan_without_a_sweep_has_no_picture(tmp_path):
    with pytest.raises(ValueError, match="before its first sweep"):
        save_scan(tmp_path / "scan.png", SweepRows(), [], [], "scan", RATE)
