# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory as text, CSV and Markdown; and what is one signal, by its places alone."""

import csv
import io

import pytest
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.signals.inventory import Place, inventory
from gnuradio.spectrumencoder.signals.listing import CSV_FIELDS, csv_text, markdown, table

ROW = {keys.SIGNAL_ID: 1, keys.FREQ_CENTER_HZ: 433.92e6, keys.BANDWIDTH_HZ: 125e3, keys.POWER_DBFS: -32.06, keys.SNR_DB: 17.4,
       keys.LABEL: "LoRa", keys.CONFIDENCE: 0.934, keys.BURSTS: 12, keys.DUTY_CYCLE: 0.0312, keys.FIRST_HEARD: 1.7e9 + 0.25,
       keys.LAST_HEARD: 1.7e9 + 59.9996}
RELATIVE = ROW | {keys.FREQ_CENTER_HZ: -20e3, keys.FREQ_RELATIVE: True, keys.LABEL: "a|b", keys.DUTY_CYCLE: 1.0}


def place(center_hz, width_hz, low_hz, high_hz, on_s=1.0, **row):
    return Place(ROW | {keys.FREQ_CENTER_HZ: center_hz, keys.BANDWIDTH_HZ: width_hz, keys.DUTY_CYCLE: 1.0} | row, low_hz, high_hz,
                 1e3, on_s)


def test_the_table_is_aligned_and_has_units():
    head, first, second = table([ROW, RELATIVE])
    assert first.split() == ["433.9200", "MHz", "125", "kHz", "-32.1", "dBFS", "17", "dB", "LoRa", "93", "%", "12", "3.1", "%",
                             "2023-11-14T22:13:20.250", "2023-11-14T22:14:20.000"]
    assert "-20.0 kHz from the centre" in second and second.index("a|b") == first.index("LoRa") == head.index("class")
    assert len(first) == len(second) == len(head)


def test_csv_has_keys_as_its_head_and_times_in_iso_8601():
    rows = list(csv.DictReader(io.StringIO(csv_text([ROW, RELATIVE]))))
    assert tuple(rows[0]) == CSV_FIELDS
    assert float(rows[0][keys.FREQ_CENTER_HZ]) == 433.92e6 and rows[0][keys.FIRST_HEARD] == "2023-11-14T22:13:20.250Z"
    assert [row[keys.FREQ_RELATIVE] for row in rows] == ["False", "True"]
    named = list(csv.DictReader(io.StringIO(csv_text([{keys.RECORDING: "x, y"} | ROW]))))
    assert next(iter(named[0].items())) == (keys.RECORDING, "x, y")
    assert csv_text([]).splitlines() == [",".join(CSV_FIELDS)]


def test_markdown_is_a_table_with_a_picture():
    lines = markdown([ROW, RELATIVE], "band: 2 signals", "band.png").splitlines()
    assert lines[0] == "# band: 2 signals" and lines[2].endswith("(band.png)")
    cells = [line.replace("\\|", "/").count("|") for line in lines[4:]]
    assert cells == [11] * 4 and "a\\|b" in lines[7]
    assert "![" not in markdown([ROW], "band")


def test_a_skirt_beyond_the_border_belongs_to_its_station():
    """The hop sees all that counts of the station; the next one, which begins within its skirt, sees that alone."""
    station = place(102.4e6, 126e3, 100.6e6, 102.6e6, **{keys.SIGNAL_ID: 4, keys.POWER_DBFS: -30.0})
    skirt = place(102.4845e6, 30e3, 102.469e6, 104.4e6, **{keys.SIGNAL_ID: 5, keys.POWER_DBFS: -55.0})
    row, = inventory([skirt, station])
    assert (row[keys.FREQ_CENTER_HZ], row[keys.BANDWIDTH_HZ], row[keys.POWER_DBFS]) == (102.4e6, 126e3, -30.0)
    assert row[keys.SIGNAL_ID] in (4, 5)


def test_halves_of_a_station_add_up():
    lower = place(100.0e6, 40e3, 98e6, 100.02e6, on_s=2.0, **{keys.POWER_DBFS: -33.0, keys.LABEL: "unknown signal"})
    upper = place(100.04e6, 40e3, 100.02e6, 102e6, on_s=1.0, **{keys.POWER_DBFS: -33.0})
    row, = inventory([upper, lower])
    assert (row[keys.FREQ_CENTER_HZ], row[keys.BANDWIDTH_HZ]) == (pytest.approx(100.02e6), pytest.approx(80e3))
    assert row[keys.POWER_DBFS] == pytest.approx(-30.0, abs=0.02) and row[keys.LABEL] == "LoRa"


def test_what_overlapping_hops_saw_of_a_bursty_signal_adds_up():
    one = place(100e6, 40e3, 98e6, 101e6, on_s=1.0, **{keys.BURSTS: 3, keys.DUTY_CYCLE: 0.1})
    other = place(100e6, 40e3, 99e6, 102e6, on_s=2.0, **{keys.BURSTS: 5, keys.DUTY_CYCLE: 0.1})
    row, = inventory([one, other])
    assert row[keys.BURSTS] == 8 and row[keys.DUTY_CYCLE] == pytest.approx(0.1)


def test_two_signals_of_one_tuning_are_two_unless_one_is_in_the_others_place():
    far = [place(100e6, 40e3, 98e6, 102e6), place(100.06e6, 40e3, 98e6, 102e6)]
    assert len(inventory(far)) == 2
    twin = [place(100e6, 40e3, 98e6, 102e6, on_s=5.0), place(100.01e6, 38e3, 98e6, 102e6, on_s=1.0, **{keys.BURSTS: 90})]
    assert [row[keys.BURSTS] for row in inventory(twin)] == [12]
    click = [place(100e6, 7e3, 98e6, 102e6, on_s=5.0), place(100e6, 50e3, 98e6, 102e6, on_s=0.01, **{keys.POWER_DBFS: -50.0})]
    assert [row[keys.BANDWIDTH_HZ] for row in inventory(click)] == [7e3]
    # a keyed tone that was heard as two, and its click, which is one of the longer one alone
    keyed = [place(100e6, 50e3, 98e6, 102e6, on_s=0.01, **{keys.POWER_DBFS: -50.0}),
             place(100.001e6, 7e3, 98e6, 102e6, on_s=0.05), place(100e6, 7e3, 98e6, 102e6, on_s=5.0)]
    assert [row[keys.BANDWIDTH_HZ] for row in inventory(keyed)] == [7e3]
    fragment = [place(102.4e6, 126e3, 100.6e6, 102.57e6, on_s=2.0), place(102.518e6, 14e3, 102.467e6, 104.4e6, on_s=0.01, **{
        keys.POWER_DBFS: -70.0, keys.DUTY_CYCLE: 0.03})]  # of a skirt, in the next hop
    row, = inventory(fragment)
    assert (row[keys.BANDWIDTH_HZ], row[keys.BURSTS], row[keys.DUTY_CYCLE]) == (126e3, 12, 1.0)
    wide = [place(100e6, 7e3, 98e6, 102e6, on_s=5.0), place(100e6, 50e3, 98e6, 102e6, on_s=4.0, **{keys.POWER_DBFS: -50.0})]
    assert len(inventory(wide)) == 2


def test_relative_and_absolute_frequencies_are_not_put_together():
    assert len(inventory([place(100e6, 40e3, 98e6, 101e6), place(100e6, 40e3, 99e6, 102e6, **{keys.FREQ_RELATIVE: True})])) == 2
