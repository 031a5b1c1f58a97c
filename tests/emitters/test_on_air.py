# SPDX-License-Identifier: GPL-3.0-or-later
"""What is on the air is listed while the band is learned, each signal once, and nothing of it is an alert."""

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.emitters.listing import plain, table
from streams import BIN_HZ, FRAMES_PER_S, Feed, add, hz_of


def band(feed, seconds, *, late_s=None):
    """A carrier, bursts every second, and from a moment on another carrier: (F, N)."""
    rows = feed.noise(seconds)
    add(rows, 0, len(rows), 60.0, 15.0)
    for first in range(20, len(rows), FRAMES_PER_S):
        add(rows, first, 10, 180, 18.0, 9)
    if late_s is not None:
        add(rows, round(late_s * FRAMES_PER_S), len(rows), 30.0, 20.0)
    return rows


@pytest.mark.parametrize("batch", [64, 7, 1000])
def test_signals_are_listed_from_the_first_second_on(batch):
    feed = Feed(learn_s=60.0)
    feed.give(band(feed, 1.0))
    assert feed.detector.on_air.rows == []  # the first second is not over
    feed.give(band(feed, 29.0, late_s=4.5), batch=batch)
    assert feed.said == [] and feed.detector.learning
    looks = feed.detector.on_air.waiting
    assert [(before, len(rows)) for _, before, rows in looks] == [(0, 2), (2, 1)]
    assert looks[0][0] == pytest.approx(1.28, abs=0.01) and 4.5 < looks[1][0] < 8.7  # of blocks of 0.64 s
    by_bin = {round((row["freq_center_hz"] - hz_of(0)) / BIN_HZ): row for row in feed.detector.on_air.rows}
    assert set(by_bin) == {30, 60, 180}
    assert by_bin[60]["steady"] and by_bin[60]["emitter_id"] is None and by_bin[60]["first_heard"] is None
    assert by_bin[180]["emitter_id"] == 1 and not by_bin[180]["steady"]
    assert by_bin[60]["snr_db"] == pytest.approx(15.0, abs=1.5)
    assert [line.split()[0] for line in table(feed.detector.on_air.rows)[1:]][1] == "-"


def test_nothing_is_listed_of_noise_nor_after_learning():
    feed = Feed(learn_s=5.0)
    feed.quiet(6.0)
    feed.give(band(feed, 20.0))
    assert feed.detector.on_air.rows == []


def test_the_table_of_what_has_no_number_or_frequency():
    """No column of dashes, a line for those that are mixed in, and frequencies from the centre within their column."""
    def row(number, hz, relative=False):
        return {keys.EMITTER_ID: number, keys.EMITTER_NAME: "", keys.FREQ_CENTER_HZ: hz, keys.BANDWIDTH_HZ: 3906.25,
                keys.POWER_DBFS: -40.0, keys.SNR_DB: 12.0, keys.BURSTS: 1, keys.LABEL: "LoRa", keys.BELONGS: True,
                keys.ACCEPTED: False, keys.STEADY: False, keys.GONE: False} | ({keys.FREQ_RELATIVE: True} if relative else {})
    assert table([row(None, 868.1e6)]) == ["     frequency      width       level     SNR  bursts  label",
                                           "  868.1000 MHz   3.91 kHz  -40.0 dBFS   12 dB       1  LoRa"]
    mixed = table([row(None, 868.1e6), row(7, 868.3e6)])
    assert [line.split()[0] for line in mixed] == ["id", "-", "7", "-:"] and "once the band is learned" in mixed[-1]
    head, first, second = table([row(1, -124.5e3, True), row(2, 8e3, True)])
    assert head.index("from the centre") + len("from the centre") == first.index("-124.5 kHz") + len("-124.5 kHz")
    assert second.index("+8.0 kHz") + len("+8.0 kHz") == head.index("from the centre") + len("from the centre")
    head, first, second = table([row(1, -124.5e3, True), row(2, 868.3e6)])  # a radio whose frequency came later
    assert first.index("3.91 kHz") == second.index("3.91 kHz") and "-124.5 kHz from the centre" in first


def test_numbers_for_people_have_no_exponent():
    assert [plain(value) for value in (0.524, 12.34, 999.4, 999.6, 2364.2)] == ["0.524", "12.3", "999", "1000", "2364"]
    assert [plain(value, 2) for value in (0.68, 99.4, 99.6, 5912.0)] == ["0.68", "99", "100", "5912"]
