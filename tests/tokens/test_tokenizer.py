# SPDX-License-Identifier: GPL-3.0-or-later
"""The C++ kernel against its NumPy twin; levels, tail, refusals. lib/qa_tokenizer.cc has each instruction set."""

import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import twin
from gnuradio.fft import window as gr_window
from gnuradio.spectrumencoder import tokenize
from gnuradio.spectrumencoder.tokens.layout import BIN_WIDTH_HZ, FLOOR_DBFS, K_EFF, FrameLayout
from gnuradio.spectrumencoder.tokens.tokenize import native_module

# fft_size, stride, average, overlap, window
SETTINGS = [
    (1024, 8, 16, 0.0, "blackmanharris"), (1024, 8, 1, 0.0, "blackmanharris"), (1024, 8, 16, 0.5, "hann"),
    (960, 8, 4, 0.75, "hamming"), (24, 8, 3, 0.25, "flattop"), (27, 9, 5, 0.0, "rectangular"), (25, 5, 2, 0.5, "hann"),
    (4096, 16, 2, 0.9, "blackman"), (64, 1, 64, 0.3, "nuttall"), (16, 16, 7, 0.95, "rectangular"),
    (8192, 8, 3, 0.0, "blackmanharris"),
]
GOLDEN_DB = 1e-4
MIN_CONSTANT = native_module().tokenizer.MIN_CONSTANT  # identical samples in a row that drop a frame
SINGLE_PRECISION_REACH_DB = 35  # below the strongest bin; further down the rounding of a float FFT shows
GOLDEN_SPREAD = 1e-5


def samples(n, seed=0):
    """Noise at -20 dBFS with a keyed tone near its level, so that bins, windows and frames all differ."""
    rng = np.random.default_rng(seed)
    keyed_tone = np.exp(2j * np.pi * 0.123 * np.arange(n)) * (np.arange(n) % 777 > 300)
    return ((rng.standard_normal(n) + 1j * rng.standard_normal(n)) * 0.07 + 0.02 * keyed_tone).astype(np.complex64)


def check_golden(fft_size, stride, average, overlap, window):
    settings = {"fft_size": fft_size, "stride": stride, "average": average, "overlap": overlap, "window": window}
    iq = samples(fft_size * average * 3 + fft_size + 5)
    frames = tokenize(iq, 2e6, **settings)
    items, psd, frame_start = twin.tokenize(iq, 2e6, **settings)
    assert np.array_equal(frames.frame_start, frame_start)
    assert items.shape == frames.items.shape and psd.shape == frames.psd.shape

    reached = psd > psd.max() - SINGLE_PRECISION_REACH_DB
    assert reached.mean() > 0.99
    error = np.abs(frames.psd - psd)
    assert error[reached].max() < GOLDEN_DB and error.max() < 0.01

    tokens, side = frames.layout.split(frames.items)
    twin_tokens, twin_side = frames.layout.split(items)
    error = np.abs(tokens - twin_tokens)
    assert error[..., :stride][reached.reshape(error[..., :stride].shape)].max() < GOLDEN_DB
    assert error[..., stride].max() < GOLDEN_DB and error[..., stride + 1].max() < GOLDEN_SPREAD
    assert np.abs(side - twin_side)[:, FLOOR_DBFS].max() < GOLDEN_DB
    np.testing.assert_allclose(side[:, [K_EFF, BIN_WIDTH_HZ]], twin_side[:, [K_EFF, BIN_WIDTH_HZ]], rtol=1e-7)
    assert np.array_equal(frames.layout.clipped_share(frames.items), frames.layout.clipped_share(items).astype(np.float32))
    used = frames.layout.n_tokens * frames.layout.token_dim + 4
    assert not frames.items[:, used:].any()


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(map(str, s)))
def test_golden(settings):
    check_golden(*settings)


@pytest.mark.parametrize("name", sorted(twin.COSINE_WINDOWS))
def test_twin_has_the_windows_of_gnu_radio(name):
    assert name in native_module().tokenizer.window_names()
    for n in (1024, 27):
        np.testing.assert_allclose(twin.window_taps(name, n), getattr(gr_window, name)(n), atol=1e-6)


@pytest.mark.parametrize("fft_size,stride", [(1024, 8), (16, 1), (16, 16), (96, 3), (65536, 8), (1000, 8), (27, 9)])
def test_item_layout_is_that_of_frame_layout(fft_size, stride):
    layout = FrameLayout(fft_size, stride)
    assert native_module().item_size(fft_size, stride) == layout.item_size
    frames = tokenize(samples(fft_size), 48e3, fft_size=fft_size, stride=stride, average=1)
    assert frames.items.shape == (1, layout.item_size) and frames.layout == layout
    assert layout.split(frames.items)[1][0, BIN_WIDTH_HZ] == np.float32(48e3 / fft_size)


@pytest.mark.parametrize("bin_index", [0, 1, 300, 511, -1, -512])
def test_full_scale_tone_reads_0_dbfs_in_its_bin(bin_index):
    n = 1024 * 16
    tone = np.exp(2j * np.pi * bin_index * np.arange(n) / 1024).astype(np.complex64)
    frames = tokenize(tone, 1.024e6, center_freq=100e6, keep_constant=True)  # bin 0 is one value
    assert frames.psd.shape == (1, 1024)
    assert frames.psd[0].argmax() == 512 + bin_index
    assert frames.frequencies_hz()[512 + bin_index] == 100e6 + 1000 * bin_index
    assert abs(frames.psd[0].max()) < 1e-4


def test_silence_reads_minus_200_dbfs():
    frames = tokenize(np.zeros(2048, np.complex64), 1e6, average=2, keep_constant=True)
    np.testing.assert_allclose(frames.psd, -200, atol=1e-4)
    assert np.isfinite(frames.items).all()


@pytest.mark.parametrize("average", [1, 4, 16, 64])
def test_floor_reads_the_mean_noise_power_and_ignores_signals(average):
    rng = np.random.default_rng(1)
    n = 1024 * 256
    iq = (rng.standard_normal(n) + 1j * rng.standard_normal(n)) * np.sqrt(0.5e-4)
    iq += sum(0.05 * np.exp(2j * np.pi * f * np.arange(n)) for f in np.arange(-0.45, 0.45, 0.1))
    frames = tokenize(iq, 1e6, average=average, window="hann")
    taps = np.hanning(1024)
    expected = 10 * np.log10(1e-4 * np.sum(taps**2) / np.sum(taps) ** 2)
    floor = frames.layout.split(frames.items)[1][:, FLOOR_DBFS].mean()
    assert expected - 0.15 < floor < expected + 0.5


def test_a_burst_shows_in_max_hold_and_spread():
    iq = samples(1024 * 16)
    iq[1024 * 5:1024 * 6] += np.exp(2j * np.pi * 100 / 1024 * np.arange(1024)).astype(np.complex64)
    tokens, _ = FrameLayout().split(tokenize(iq, 1e6).items)
    burst = (512 + 100) // 8
    assert tokens[0, :, 9].argmax() == burst and tokens[0, burst, 9] > 3.5  # one window in 16: sqrt(15)
    assert tokens[0, burst, 8] > tokens[0, burst, :8].max() + 10


@pytest.mark.parametrize("n,flush,k_eff", [
    (0, True, []), (1023, True, []), (1024, True, [1]), (1024, False, []), (5 * 1024 + 1, True, [4, 1]),
    (5 * 1024, False, [4]), (8 * 1024, True, [4, 4]), (8 * 1024 - 1, True, [4, 3])])
def test_last_short_frame(n, flush, k_eff):
    frames = tokenize(samples(n), 1e6, average=4, flush=flush)
    assert frames.layout.split(frames.items)[1][:, K_EFF].tolist() == k_eff
    assert frames.frame_start.tolist() == [4096 * i for i in range(len(k_eff))] and frames.frame_hop == 4096


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1j * np.inf, 1e30])
def test_non_finite_frames_are_left_out(bad):
    iq = samples(1024 * 12)
    clean = tokenize(iq, 1e6, average=4)
    iq[5000] = bad
    frames = tokenize(iq, 1e6, average=4)
    assert frames.frame_start.tolist() == [0, 8192]
    assert np.array_equal(frames.items, clean.items[[0, 2]]) and np.array_equal(frames.psd, clean.psd[[0, 2]])


def constant(iq, start, length, value=0.0):
    iq = iq.copy()
    iq[start:start + length] = value
    return iq


@pytest.mark.parametrize("value", [0.0, 0.3 - 0.2j, 0.98 - 0.98j])
@pytest.mark.parametrize("length,left_out", [(MIN_CONSTANT - 1, False), (MIN_CONSTANT, True), (1500, True)])
def test_frames_of_constant_samples_are_left_out(length, left_out, value):
    iq = samples(1024 * 12)
    clean = tokenize(iq, 1e6, average=4)
    iq = constant(iq, 5000, length, value)  # in frame 1, across a border of windows
    frames = tokenize(iq, 1e6, average=4)
    assert frames.frame_start.tolist() == ([0, 8192] if left_out else [0, 4096, 8192])
    assert np.array_equal(frames.items[[0, -1]], clean.items[[0, 2]])
    assert tokenize(iq, 1e6, average=4, keep_constant=True).frame_start.tolist() == [0, 4096, 8192]


@pytest.mark.parametrize("value", [0.99, -1j, 1.0 + 1.0j])
@pytest.mark.parametrize("length", [MIN_CONSTANT, 1500, 4096])
def test_frames_at_the_rails_are_kept_and_say_so(length, value):
    iq = constant(samples(1024 * 12), 4096, length, value)
    frames = tokenize(iq, 1e6, average=4)
    assert frames.frame_start.tolist() == [0, 4096, 8192]
    assert frames.layout.clipped_share(frames.items).tolist() == [0.0, np.float32(length / 4096), 0.0]
    beside = tokenize(constant(iq, 4096 + length, MIN_CONSTANT), 1e6, average=4)  # zeros right after the rails
    assert beside.frame_start.tolist() == ([0, 4096] if length == 4096 else [0, 8192])


@pytest.mark.parametrize("page", ["fft_tokenizer", "contracts"])
def test_the_pages_state_the_length_of_a_run(page):
    text = (Path(__file__).parents[2] / "docs" / f"{page}.md").read_text()
    assert f"{MIN_CONSTANT} identical" in text


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
def test_the_twin_leaves_out_the_same_frames_and_counts_the_same_samples(overlap):
    settings = {"fft_size": 1024, "stride": 8, "average": 4, "overlap": overlap, "window": "hann"}
    iq, rng = samples(160_000) * 3.7, np.random.default_rng(2)  # few samples are at full scale
    for start in rng.integers(0, 159_000, 25):
        iq = constant(iq, start, MIN_CONSTANT + rng.integers(-30, 30), rng.choice([0.0, 1.0]))
    frames, (items, _, frame_start) = tokenize(iq, 1e6, **settings), twin.tokenize(iq, 1e6, **settings)
    everything = len(tokenize(iq, 1e6, keep_constant=True, **settings))
    assert np.array_equal(frames.frame_start, frame_start) and 0 < len(frames) < everything
    share = frames.layout.clipped_share(frames.items)
    assert np.array_equal(share, frames.layout.clipped_share(items).astype(np.float32)) and share.any() and not share.all()


def test_constant_samples_beside_nan():
    iq = constant(samples(1024 * 12), 5000, MIN_CONSTANT)
    iq[5000 + MIN_CONSTANT + 100] = np.nan
    for keep in (False, True):
        assert tokenize(iq, 1e6, average=4, keep_constant=keep).frame_start.tolist() == [0, 8192]


@pytest.mark.parametrize("datatype,rails,near", [("ci8", [-128, -127, 127], [-126, 126]), ("cu8", [0, 1, 254, 255], [2, 253]),
                                                 ("ci16_le", [-32768, 32767], [-32000, 32000])])
def test_the_rails_of_whole_numbers_are_full_scale(tmp_path, datatype, rails, near):
    from gnuradio.spectrumencoder.recordings import open_recording
    kind = {"ci8": "i1", "cu8": "u1", "ci16_le": "<i2"}[datatype]
    raw = np.random.default_rng(3).integers(-3, 4, 2 * 2048).astype(int) + (128 if datatype == "cu8" else 0)
    for value in near:
        raw[100:110] = value
    raw[200:200 + 2 * len(rails):2] = rails  # real parts
    raw[301:301 + 2 * len(rails):2] = rails  # imaginary parts
    raw[400:402] = rails[0]  # both parts of one sample
    path = tmp_path / "x.raw"
    path.write_bytes(raw.astype(kind).tobytes())
    iq = open_recording(path, rate=1e6, datatype=datatype).read(0, 2048)
    frames = tokenize(iq, 1e6, average=2)
    assert frames.layout.clipped_share(frames.items).tolist() == [(2 * len(rails) + 1) / 2048]


@pytest.mark.parametrize("argument,value,says", [
    ("fft_size", 8, "fft_size 8 is outside 16..65536"), ("stride", 7, "stride 7 does not divide fft_size 1024"),
    ("stride", 0, "stride 0 is outside 1..fft_size"), ("average", 65, "average 65 is outside 1..64"),
    ("overlap", 0.951, "overlap 0.951 is outside 0..0.95"), ("window", "boxcar", "window 'boxcar' is not one of blackman"),
    ("samp_rate", 0.0, "samp_rate"), ("iq", np.zeros((2, 1024), np.complex64), "one-dimensional"),
    ("iq", np.zeros(1024, np.float32), "complex")])
def test_refusals(argument, value, says):
    arguments = {"iq": samples(4096), "samp_rate": 1e6} | {argument: value}
    with pytest.raises(ValueError, match=says):
        tokenize(**arguments)


def test_complex128_strided_input_and_threads_give_the_same():
    iq = samples(1024 * 64)
    expected = tokenize(iq, 1e6).items
    assert np.array_equal(tokenize(iq.astype(np.complex128), 1e6).items, expected)
    assert np.array_equal(tokenize(np.repeat(iq, 2)[::2], 1e6).items, expected)
    results = [None] * 4

    def work(i):
        results[i] = tokenize(iq, 1e6).items

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in results)


def test_missing_compiled_module_says_what_to_run(monkeypatch):
    monkeypatch.setitem(sys.modules, "gnuradio.spectrumencoder.spectrumencoder_python", None)
    with pytest.raises(ImportError, match="cmake --build build") as refused:
        native_module()
    assert "\n" not in str(refused.value)
