# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes and labels of the pictures: every signal has one, anomalies another colour, and no label overprints another."""

import numpy as np
import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.display.appearance import SIGNAL_COLOR, THREAT_COLORS, is_of_event, signal_label
from gnuradio.spectrumencoder.display.band_picture import save_band
from gnuradio.spectrumencoder.display.band_spectrum import BandSpectrum
from gnuradio.spectrumencoder.display.event_table import MAX_BURSTS, SignalTable
from gnuradio.spectrumencoder.display.labels import Label, draw_labels
from gnuradio.spectrumencoder.display.run_picture import save_plot
from gnuradio.spectrumencoder.display.waterfall import Waterfall

RATE, FREQ, HOP = 1e6, 433.92e6, 16384


def axes_of(width=10.0, height=6.0):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlim(0, 10)
    axes.set_ylim(10, 0)
    figure.canvas.draw()
    return axes


def extents(axes):
    """(left, bottom, right, top) of each text in pixels, as it is drawn, without its line."""
    from matplotlib.text import Text
    axes.figure.canvas.draw()
    renderer = axes.figure.canvas.get_renderer()
    return [Text.get_window_extent(text, renderer).extents for text in axes.texts]


def meet(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def assert_apart(boxes):
    assert not [(a, b) for n, a in enumerate(boxes) for b in boxes[n + 1:] if meet(a, b)]


@pytest.mark.parametrize("lines", [1, 2])
def test_labels_of_boxes_in_one_place_are_apart(lines):
    """Twelve boxes that nearly coincide, and some that fill the axes or lie at an edge."""
    axes, text = axes_of(), "\n".join(["unknown signal"] * lines)
    labels = [Label(f"{n} {text}", 4.9 + 0.01 * n, 5.2, 4.0, 6.0, "white") for n in range(12)]
    labels += [Label(text, 0.0, 10.0, 0.0, 10.0, "white"), Label(text, 0.0, 0.1, 0.0, 0.1, "red"),
               Label(text, 9.9, 10.0, 9.9, 10.0, "red")]
    assert draw_labels(axes, labels) == len(labels) == len(axes.texts)
    boxes = extents(axes)
    assert_apart(boxes)
    left, bottom, right, top = axes.get_window_extent().extents
    assert all(left <= b[0] and b[2] <= right and bottom <= b[1] and b[3] <= top for b in boxes)


def test_a_label_without_room_is_left_out_and_the_first_go_first():
    axes = axes_of(2.0, 1.0)
    labels = [Label(f"label number {n}", 4.0, 6.0, 4.0, 6.0, "white") for n in range(30)]
    drawn = draw_labels(axes, labels)
    assert 1 <= drawn < 30 and axes.texts[0].get_text() == "label number 0"
    assert_apart(extents(axes))


def test_a_label_keeps_off_the_boxes_of_others():
    axes = axes_of()
    labels = [Label("narrow", 4.0, 4.2, 5.0, 6.0, "white"), Label("wide", 3.9, 6.0, 6.2, 9.0, "white")]
    unnamed = (3.9, 6.0, 2.0, 4.8)
    assert draw_labels(axes, labels, unnamed=[unnamed]) == 2
    to_pixels = axes.transData.transform
    (left, bottom), (right, top) = to_pixels((unnamed[0], unnamed[3])), to_pixels((unnamed[1], unnamed[2]))
    narrow, wide = extents(axes)
    assert not meet(narrow, (left, bottom, right, top)) and not meet(wide, (left, bottom, right, top))
    assert not meet(narrow, (*to_pixels((3.9, 9.0)), *to_pixels((6.0, 6.2))))


def test_each_signal_has_its_own_label_at_its_longest_burst(tmp_path, monkeypatch):
    """One signal lies within the place of another: each burst belongs to the row that is most like it."""
    from matplotlib.axes import Axes
    waterfall = Waterfall()
    waterfall.begin(0, HOP, FREQ, RATE)
    rows = np.random.default_rng(0).normal(-90, 1, (60, 1024)).astype(np.float32)
    waterfall.add(rows, rows + 90)
    sliver, wide = signal(1, -20, 20e3, 10, 5, **{keys.LABEL: "LTE"}), signal(2, 0, 130e3, 20, 30)
    targets = {}
    annotate = Axes.annotate

    def note(self, text, xy, *more, **how):
        targets[text] = xy
        return annotate(self, text, xy, *more, **how)
    monkeypatch.setattr(Axes, "annotate", note)
    save_plot(tmp_path / "run.png", waterfall, [], "run", signals=[signal(2, 0, 130e3, 2, 4), sliver, wide], listed=[sliver, wide])
    assert set(targets) == {"LoRa 93 %", "LTE 93 %"}
    assert targets["LoRa 93 %"][1] < targets["LTE 93 %"][1]  # figure points, upwards: later is lower


def test_a_label_far_from_its_box_has_a_line_to_it():
    axes = axes_of()
    draw_labels(axes, [Label("unknown signal", 5.0, 5.1, 5.0, 5.1, "white") for _ in range(9)])
    assert [text.arrow_patch is not None for text in axes.texts].count(True) >= 2
    assert axes.texts[0].arrow_patch is None


def signal(number, bin_, width_hz, first, count, **row):
    return {keys.SIGNAL_ID: number, keys.STATE: "close", keys.SAMPLE_START: first * HOP, keys.SAMPLE_COUNT: count * HOP,
            keys.FREQ_CENTER_HZ: FREQ + bin_ * RATE / 1024, keys.BANDWIDTH_HZ: width_hz, keys.SNR_DB: 10.0,
            keys.POWER_DBFS: -50.0, keys.LABEL: "LoRa", keys.CONFIDENCE: 0.93} | row


def test_the_picture_of_a_run_has_boxes_of_signals_and_events(tmp_path, monkeypatch):
    from matplotlib.axes import Axes
    waterfall = Waterfall()
    waterfall.begin(0, HOP, FREQ, RATE)
    rows = np.random.default_rng(0).normal(-90, 1, (60, 1024)).astype(np.float32)
    waterfall.add(rows, rows + 90)
    signals = [signal(number, 12 * number - 200, 10e3, 5, 40) for number in range(30)]  # a crowd
    signals += [signal(0, -200, 10e3, 50, 5), signal(40, 300, 50e3, 0, 60, **{keys.LABEL: "unknown signal"})]
    event = {keys.EVENT_ID: "e", keys.ALERT: "new", keys.THREAT_LEVEL: "HIGH", keys.FREQ_CENTER_HZ: FREQ + 100e3,
             keys.BANDWIDTH_HZ: 20e3, keys.SAMPLE_START: 20 * HOP, keys.SAMPLE_COUNT: 10 * HOP, keys.IS_ANOMALY: True}
    patches, panels = [], []
    add_patch, annotate = Axes.add_patch, Axes.annotate
    monkeypatch.setattr(Axes, "add_patch", lambda self, patch: (patches.append(patch), add_patch(self, patch))[1])
    monkeypatch.setattr(Axes, "annotate", lambda self, *a, **k: (panels.append(self), annotate(self, *a, **k))[1])
    save_plot(tmp_path / "run.png", waterfall, [event], "run", signals=signals)
    from matplotlib.colors import to_hex
    edges = [to_hex(patch.get_edgecolor()) for patch in patches]
    beside = [one for one in signals if not is_of_event(one, [event])]
    assert len(signals) - 4 < len(beside) < len(signals)
    assert edges.count(SIGNAL_COLOR) == len(beside)  # in the left panel; where the event is, it alone is drawn
    assert edges.count(THREAT_COLORS[2]) == 2  # in both
    assert len(set(panels)) == 1
    texts = [text.get_text() for text in panels[0].texts]
    assert texts[0] == "new: unknown signal\n434.0200 MHz, 20 kHz wide" and "unknown signal" in texts
    assert texts.count("LoRa 93 %") >= 20
    legend = [text.get_text() for text in panels[0].get_legend().get_texts()]
    left_out = len({one[keys.SIGNAL_ID] for one in beside}) + 1 - len(texts)
    assert legend[:2] == ["signal", "alert, HIGH"] and (f"{left_out} label" in legend[-1] if left_out else len(legend) == 2)
    assert_apart(extents(panels[0]))
    assert (tmp_path / "run.png").read_bytes()[:4] == b"\x89PNG"


def test_the_picture_of_a_band_names_each_signal(tmp_path, monkeypatch):
    from gnuradio.spectrumencoder.display import band_picture
    spectrum, rows, drawn = BandSpectrum(1024, 0.8), [], []
    for hop in range(3):
        psd = np.random.default_rng(hop).normal(-90, 1, (8, 1024)).astype(np.float32)
        psd[:, 500:520] += 40
        psd[3, 7] = np.nan
        spectrum.add(FREQ + 0.8e6 * hop, RATE, psd)
        rows.append(signal(hop + 1, 0, 20e3, 8 * hop, 8, **{keys.FREQ_CENTER_HZ: FREQ + 0.8e6 * hop}))
    pieces = spectrum.pieces()
    assert len(pieces) == 3 and all(np.isfinite(piece.mean_db).all() for piece in pieces) and spectrum.n_frames == 24
    assert pieces[0].frequencies_hz[-1] < pieces[1].frequencies_hz[0] + 2e3  # the usable parts join
    assert pieces[0].mean_db.max() == pytest.approx(-50, abs=2) and pieces[0].max_db.max() > pieces[0].mean_db.max()
    monkeypatch.setattr(band_picture, "draw_labels", lambda axes, labels: (drawn.append(axes), draw_labels(axes, labels))[1])
    save_band(tmp_path / "band.png", spectrum, rows, rows, "band", RATE)
    wanted = [f"LoRa 93 %\n{(FREQ + 0.8e6 * hop) / 1e6:.3f} MHz" for hop in range(3)]
    assert [text.get_text() for text in drawn[0].texts] == wanted
    assert_apart(extents(drawn[0]))


def test_what_a_signal_is_called():
    assert signal_label(signal(1, 0, 1e3, 0, 1)) == "LoRa 93 %"
    assert signal_label(signal(1, 0, 1e3, 0, 1, **{keys.LABEL: "unknown signal"})) == signal_label({}) == "unknown signal"
    assert signal_label({keys.LABEL: "BLE", keys.CONFIDENCE: float("nan")}) == "BLE"


def test_a_table_of_signals_keeps_each_burst_by_its_latest_message():
    table = SignalTable()
    for first, states in ((0, ("open", "update", "close")), (9, ("open", "close")), (20, ("open",))):
        for count, state in enumerate(states, 1):
            table.update(signal(7, 0, 1e3, first, count, **{keys.STATE: state}))
    assert [(row[keys.SAMPLE_START] // HOP, row[keys.SAMPLE_COUNT] // HOP) for row in table.newest_first()] == [
        (20, 1), (9, 2), (0, 3)]
    table.update(signal(8, 0, 1e3, 30, 1, **{keys.STATE: "open"}))
    table.update(signal(8, 0, 1e3, 30, 0))  # turned out to be a part of another one
    assert len(table.newest_first()) == 3
    for number in range(MAX_BURSTS + 5):
        table.update(signal(number, 0, 1e3, number, 1))
    assert len(table.newest_first()) == MAX_BURSTS
    table.clear()
    assert table.newest_first() == []
