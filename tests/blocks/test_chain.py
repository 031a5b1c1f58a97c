# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain from samples to residual: whole recordings at any setting, retunes in mid-frame, NaN bursts."""

import numpy as np
import pytest
from flowgraphs import collector, run_within
from gnuradio import blocks, gr
from gnuradio.spectrumencoder import fft_tokenizer, sigmf_source, spectrum_encoder, tokenize
from gnuradio.spectrumencoder.encoder import features
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.tokens.band_plan import band_of

N = 128


class chain:
    """source -> fft_tokenizer -> spectrum_encoder; psd goes around the encoder and meets its output, as in the detector."""

    def __init__(self, model, path, average=4, buffer=64, pad_batch=16, samples_per_call=0, raw=None):
        self.top = gr.top_block()
        self.source = sigmf_source(path, **(raw or {}))
        self.tokenizer = fft_tokenizer(fft_size=N, average=average, samp_rate=1e6, min_output_buffer=buffer)
        self.encoder = spectrum_encoder(model, N, min_output_buffer=buffer, pad_batch=pad_batch)
        self.psd, self.residual, self.features = collector(N), collector(N), collector(features.N_FEATURES)
        self.meeting = blocks.add_ff(N)
        self.sum = collector(N)
        if samples_per_call:
            self.source.set_max_noutput_items(samples_per_call)
        top = self.top
        top.connect(self.source, self.tokenizer)
        top.connect((self.tokenizer, 0), self.encoder)
        top.connect((self.tokenizer, 1), (self.meeting, 0))
        top.connect((self.encoder, 0), (self.meeting, 1))
        top.connect(self.meeting, self.sum)
        top.connect((self.tokenizer, 1), self.psd)
        top.connect((self.encoder, 0), self.residual)
        top.connect((self.encoder, 1), self.features)

    def run(self, seconds=20.0):
        assert run_within(self.top, [self.source, self.encoder], seconds) is None
        return self


@pytest.mark.parametrize(("buffer", "pad_batch", "samples_per_call"), [
    (64, 16, 0), (1, 1, 100), (4096, 64, 0), (64, 16, 17), (2, 16, 129), (300, 0, 5000)])
def test_17_frames_come_out_whole(small_model, make_recording, noise, buffer, pad_batch, samples_per_call):
    """16 frames of 4 windows and a last one of 2."""
    iq = noise(16 * 4 * N + 2 * N + 50)
    got = chain(small_model, make_recording(iq), 4, buffer, pad_batch, samples_per_call).run()
    frames = tokenize(iq, 1e6, fft_size=N, average=4)
    assert len(frames) == 17
    assert [len(sink.data) for sink in (got.psd, got.residual, got.features, got.sum)] == [17] * 4
    assert got.features.data[:, features.K_EFF].tolist() == [4] * 16 + [2]
    np.testing.assert_allclose(got.psd.data, frames.psd, atol=1e-4)
    wanted = Engine(small_model, pad_batch=pad_batch).encode(frames.items, band_of(433.92e6))
    np.testing.assert_allclose(got.residual.data, wanted.residual, rtol=1e-3, atol=1e-3)


@pytest.mark.timeout(110)
def test_100003_frames_come_out_whole(small_model, tmp_path, noise):
    n_frames = 100_003
    block = np.round(noise(N * 1000, -20).view(np.float32) * 127).astype(np.int8)
    np.tile(block, 101)[:2 * n_frames * N].tofile(tmp_path / "long.bin")
    raw = {"samp_rate": 1e6, "datatype": "ci8"}
    got = chain(small_model, tmp_path / "long.bin", average=1, buffer=512, pad_batch=64, raw=raw).run(100)
    assert [len(sink.data) for sink in (got.psd, got.residual, got.features, got.sum)] == [n_frames] * 4
    # the samples repeat every 1000 frames: nothing was lost, doubled or shifted in between
    rows = got.psd.data
    np.testing.assert_allclose(rows[-3:], rows[(np.arange(n_frames - 3, n_frames)) % 1000], atol=1e-4)


def test_buffer_and_batch_do_not_change_a_bit(small_model, make_recording, noise):
    path = make_recording(noise(301 * 4 * N))
    runs = [chain(small_model, path, 4, buffer, 16, calls).run() for buffer, calls in ((64, 0), (1, 1000), (999, 333))]
    for other in runs[1:]:
        for sink in ("psd", "residual", "features"):
            np.testing.assert_array_equal(getattr(runs[0], sink).data, getattr(other, sink).data)


def test_retune_in_mid_frame_shortens_that_frame_and_changes_the_band(small_model, make_recording, noise):
    """Frames are 512 samples; the retune at 10.5 frames leaves half of frame 10, and averaging starts again at it."""
    cut = 10 * 512 + 256
    iq = noise(cut + 20 * 512)
    captures = [{"core:sample_start": 0, "core:frequency": 433.92e6},
                {"core:sample_start": cut, "core:frequency": 1575.42e6}]
    got = chain(small_model, make_recording(iq, captures=captures)).run()
    before, after = (tokenize(part, 1e6, fft_size=N, average=4).items for part in (iq[:cut], iq[cut:]))
    engine = Engine(small_model)
    wanted = np.concatenate([engine.encode(before, "ism").residual, engine.encode(after, "gnss").residual])
    assert len(wanted) == 31
    np.testing.assert_allclose(got.residual.data, wanted, rtol=1e-3, atol=1e-3)
    tags = [(offset, value) for offset, key, value in got.residual.tags if key == "frame_start"]
    assert tags == [(0, 0), (11, cut)]
    assert [(offset, value) for offset, key, value in got.features.tags if key == "rx_freq"] == [(0, 433.92e6), (11, 1575.42e6)]
    assert (got.tokenizer.dropped_frames(), got.tokenizer.short_frames()) == (0, 1)


def test_nan_bursts_are_dropped_and_the_rest_is_right(small_model, make_recording, noise):
    iq = noise(50 * 512)
    for frame, count in ((7, 1), (20, 700), (33, 512)):
        iq[frame * 512 + 100:frame * 512 + 100 + count] = np.nan
    got = chain(small_model, make_recording(iq)).run()
    clean = [frame for frame in range(50) if not np.isnan(iq[frame * 512:(frame + 1) * 512]).any()]
    assert len(clean) == 45 == len(got.residual.data)
    assert got.tokenizer.dropped_nonfinite() == 5
    for sink in (got.psd, got.residual, got.features):
        assert np.isfinite(sink.data).all()
    np.testing.assert_allclose(got.psd.data, tokenize(noise(50 * 512), 1e6, fft_size=N, average=4).psd[clean], atol=1e-4)
