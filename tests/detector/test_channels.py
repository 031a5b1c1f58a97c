# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of channels: names in model files, a new channel in every stage, tables that do not know it."""

import numpy as np
import pytest
from frames import HOP, SEGMENT, TUNING, N, detector, frames, run, table
from gnuradio.spectrumencoder import keys
from gnuradio.spectrumencoder.detector import channels
from gnuradio.spectrumencoder.detector.channels import CHANNELS, Channel, ChannelPlan, channel_names
from gnuradio.spectrumencoder.detector.frame_batch import FrameBatch
from gnuradio.spectrumencoder.detector.regions import EXCESS, Region
from gnuradio.spectrumencoder.detector.table import Table
from gnuradio.spectrumencoder.encoder import features as layout

WINDOWS = ("1", "4", "16", "64")


def test_names_are_those_of_model_files():
    """Tables in files hold these names, in this order."""
    residual = (*(f"residual_{s}" for s in WINDOWS), "missing_16", "missing_64", "head", "floor")
    model = (*(f"model_{s}" for s in WINDOWS), "model_missing_16", "model_missing_64", "head", "floor")
    assert channel_names(False) == residual
    assert channel_names(True)[64:] == model
    assert channel_names(True)[:9] == ("excess_1_1", "excess_4_1", "excess_16_1", "excess_64_1", "excess_256_1", "power_4_1",
                                       "power_16_1", "power_64_1", "missing_1_1")
    assert channel_names(False, head=False) == tuple(name for name in residual if name != "head")
    assert table().channels == channel_names(True)
    assert table(tuning=None, head=False).channels == channel_names(False, head=False)


def test_only_the_channels_of_a_table_are_measured():
    psd, residual, rows = frames(5, seed=1)
    plan = ChannelPlan(("residual_4", "floor"), learned=False)
    deviation = np.array([1, -2, 3, -4, 0.5], np.float32)
    values = plan.values(FrameBatch(psd, residual, rows, deviation))
    assert values.shape == (5, len(channels.RESIDUAL.names) + 1)
    whole = ChannelPlan(channel_names(False), learned=False)
    every = whole.values(FrameBatch(psd, residual, rows, deviation))[:, whole.columns]
    np.testing.assert_array_equal(values[:, plan.columns], every[:, [1, 7]])
    np.testing.assert_array_equal(values[:, plan.columns[1]], np.abs(deviation))


@pytest.mark.parametrize(("names", "learned", "message"), [
    ((), False, "channels none; known are residual_1"), (("head", "nonsense"), True, "channels nonsense; known are excess_1_1"),
    (("model_1",), False, "channels model_1")])
def test_unknown_channels_are_refused(names, learned, message):
    with pytest.raises(ValueError, match=message):
        ChannelPlan(names, learned)


class Doubt(Channel):
    """The share of the likeliest label that is missing to 1: an input that no other channel has."""

    names = ("doubt",)
    min_spread = 0.02

    def values(self, batch, out):
        out[:, 0] = 1.0 - batch.features[:, layout.PROBABILITIES].max(axis=1)


class PlacedDoubt(Doubt):
    """It says that it is in bins 40 to 44."""

    def locate(self, flagged, found):
        share = 1.0 - float(flagged.batch.features[0, layout.PROBABILITIES].max())
        median, spread = flagged.normalisers["doubt"]
        score = (share - median) / spread
        return [*found, Region(EXCESS, 40, 44, score, "doubt")] if score > flagged.limit else None


@pytest.mark.parametrize("channel", [Doubt(), PlacedDoubt()])
@pytest.mark.parametrize("tuning", [TUNING, None])
def test_a_channel_in_the_list_is_calibrated_fused_named_and_placed(channel, tuning, monkeypatch):
    before = table(tuning=tuning).to_tensors()
    psd, residual, rows = frames(100, seed=5)
    rows[50, layout.PROBABILITIES] = 0.2  # it was 0.7 in all frames
    old_scores, old = run(detector(Table.from_tensors(before)), psd, residual, rows)

    monkeypatch.setattr(channels, "CHANNELS", (*CHANNELS, channel))
    learned = table(tuning=tuning)
    assert learned.channels == (*Table.from_tensors(before).channels, "doubt")
    assert learned.normalisers["doubt"] == (pytest.approx(0.3), pytest.approx(0.02))
    assert "doubt" in learned.describe()
    back = Table.from_tensors(learned.to_tensors())
    scores, emitted = run(detector(back), psd, residual, rows)
    assert scores[50] == pytest.approx(0.5 / 0.02, rel=1e-4)
    event = next(e.fields for e in emitted if e.fields[keys.STATE] == "close")
    assert event[keys.ANALYSIS_TYPE] == "doubt" and event[keys.SAMPLE_START] == 50 * HOP
    offset = (event[keys.FREQ_CENTER_HZ] - SEGMENT.rx_freq) / SEGMENT.rx_rate * N + N // 2
    place = 42 if isinstance(channel, PlacedDoubt) else residual[50].argmax()
    assert offset == pytest.approx(place, abs=2)

    again_scores, again = run(detector(Table.from_tensors(before)), psd, residual, rows)  # a table that was learned before
    np.testing.assert_array_equal(again_scores, old_scores)
    assert not old and not again
