# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec: what goes in comes out again within the step, on any settings, and what cannot be decoded says so and no more."""

import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder import entropy, features
from gnuradio.spectrumencoder.encoder.config import EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.encoder.engine import EncodedFrames
from gnuradio.spectrumencoder.encoder.fit_codec import fit_codec
from gnuradio.spectrumencoder.encoder.grouping import GroupBuilder, Place
from gnuradio.spectrumencoder.encoder.model_file import ModelFile, variant_name
from gnuradio.spectrumencoder.encoder.pdu import CodecError, iterate, pack, pack_classes, step_index, step_of, unpack
from gnuradio.spectrumencoder.encoder.quantise import Codec, Group, identity, noise_sigma_db
from gnuradio.spectrumencoder.encoder.transforms import along_time, inverse_wavelet, quantise, wavelet
from gnuradio.spectrumencoder.tokens.tokenize import tokenize

N, RATE = 128, 1e6


@pytest.fixture(scope="module")
def model():
    """A model file in memory: untrained, fft_size 128, two variants; the decoder's direct way is made to say something."""
    torch.manual_seed(1)
    small = dict(fft_size=N, width=16, layers=1, heads=2, kv_heads=1, mlp_width=32, keep_choices=(8, 12, 16), score_width=4,
                 latents=4, latent_width=4, decoder_width=32, embedding=8, labels=("noise", "signal"))
    tensors, variants = {}, []
    for attention in ("softmax", "linear"):
        name = variant_name(attention, "dynamic")
        variants.append({"name": name, "attention": attention, "rope": "dynamic"})
        network = SpectrumEncoder(EncoderConfig(**small, attention=attention))
        tensors |= {f"weights.{name}.{k}": v.numpy().copy() for k, v in network.state_dict().items()}
    config = EncoderConfig(**small)
    contract = {"name": "small", "encoder": config.to_dict(), "variants": variants, "policies": ["gumbel"],
                "labels": list(config.labels), "bands": list(config.bands), "average": [1, 64], "steps": 1, "heads": {}}
    return ModelFile(contract, tensors)


@pytest.fixture(scope="module")
def frames():
    """40 frames of noise and a carrier that is there in half of them."""
    rng = np.random.default_rng(5)
    iq = 0.01 * rng.standard_normal((40 * 16 * N, 2), np.float32).view(np.complex64)[:, 0]
    iq[20 * 16 * N:] += 0.1 * np.exp(2j * np.pi * 0.2 * np.arange(20 * 16 * N))
    return tokenize(iq, RATE, fft_size=N, stride=8, average=16)


@pytest.fixture(scope="module")
def fitted(model, frames):
    tokens, side = frames.layout.split(frames.items)
    file = ModelFile(model.contract, dict(model.tensors))
    fit_codec(file, tokens, side)
    return file


def group(model, frames, n_frames=32, **more):
    tokens, side = frames.layout.split(frames.items[:n_frames])
    rng = np.random.default_rng(2)
    latents = rng.uniform(-1, 1, (len(tokens), 4, 4)).astype(np.float32)
    given = dict(frame_start=4096, frame_hop=16 * N, rx_rate=RATE, rx_freq=868.3e6, rx_time=1.7e9 + 0.123,
                 label=rng.integers(0, 2, len(tokens)), confidence=rng.uniform(0.5, 1, len(tokens))) | more
    return Group(latents, tokens[..., :-2].reshape(len(tokens), N), side[:, 0], tuple(side[:, 1].astype(int)),
                 model.variants[0], "ism", **given)


def with_checksum(data):
    """A PDU whose bytes were changed, with the checksum that they have now."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


@pytest.mark.parametrize(("n_frames", "n_places", "block", "scale"), [
    (1, 1, 1, 0.0), (1, 97, 1, 1.0), (32, 97, 32, 1.0), (19, 97, 8, 30.0), (64, 16, 64, 20000.0), (16, 1024, 16, 0.02)])
def test_entropy_coder_gives_back_what_it_was_given(n_frames, n_places, block, scale):
    rng = np.random.default_rng(n_frames)
    q = np.rint(rng.laplace(0, max(scale, 1e-9), (n_frames, n_places))).astype(int)
    prior = entropy.prior_of(np.full(n_places, max(scale, 0.01)), 1.0)
    data = entropy.encode(q, prior, block)
    np.testing.assert_array_equal(entropy.decode(data, n_frames, prior, block), q)
    assert len(data) <= 1.005 * entropy.cost_bits(q, prior, block) / 8 + 6
    with pytest.raises(entropy.EntropyError):
        entropy.decode(data + b"\0\0", n_frames, prior, block)
    if len(data) > 4:
        with pytest.raises(entropy.EntropyError):
            entropy.decode(data[:-2], n_frames, prior, block)


def test_entropy_coder_comes_near_the_entropy():
    """Laplacian of known scale, independent: within 5 % of the entropy of its whole numbers."""
    rng = np.random.default_rng(0)
    q = np.rint(rng.laplace(0, 3.0, (64, 96))).astype(int)
    _, counts = np.unique(q, return_counts=True)
    entropy_bits = -(counts * np.log2(counts / q.size)).sum()
    assert 8 * len(entropy.encode(q, entropy.prior_of(np.full(96, 3.0), 1.0), 1)) < 1.05 * entropy_bits


def test_entropy_coder_refuses_what_is_too_large():
    with pytest.raises(ValueError, match="too large"):
        entropy.encode(np.array([[1 << 20]]), np.array([1024]), 1)


@pytest.mark.parametrize("n", [1024, 128, 24, 10])
def test_wavelet_is_orthonormal(n):
    x = np.random.default_rng(n).standard_normal((3, n)).astype(np.float32)
    y = wavelet(x)
    np.testing.assert_allclose(inverse_wavelet(y), x, atol=1e-5)
    np.testing.assert_allclose(np.square(y).sum(axis=1), np.square(x).sum(axis=1), rtol=1e-5)


def test_time_transform_and_quantiser():
    x = np.random.default_rng(1).standard_normal((19, 5))
    np.testing.assert_allclose(along_time(along_time(x, 8), 8, inverse=True), x, atol=1e-12)
    assert quantise(np.array([0.66, 0.67, -1.7, 1.6, -0.1]), 1.0).tolist() == [0, 1, -2, 1, 0]
    assert noise_sigma_db(np.array([1, 16])) == pytest.approx([5.57, 1.103], abs=0.001)
    assert all(step_index(step_of(i)) == i for i in range(121))


@pytest.mark.parametrize("n_frames", [1, 7, 32, 40])
@pytest.mark.parametrize("detail", [False, True])
def test_what_is_encoded_decodes(fitted, frames, n_frames, detail):
    given = group(fitted, frames, n_frames)
    codec = Codec(fitted)
    decoded = codec.decode(codec.encode(given, step=0.25, detail=detail))
    assert decoded.spectra.shape == (n_frames, N) and decoded.spectra.dtype == np.float32
    assert decoded.header.times() == pytest.approx(1.7e9 + 0.123 + np.arange(n_frames) * 16 * N / RATE)
    assert (decoded.header.rx_freq, decoded.header.rx_rate, decoded.band) == (868.3e6, RATE, "ism")
    assert (decoded.header.frame_start, decoded.header.frame_hop) == (4096, 16 * N)
    assert decoded.header.average == given.average
    assert np.abs(decoded.floor - given.floor).max() < 0.5
    assert decoded.label == [fitted.contract["labels"][i] for i in given.label]
    assert np.abs(decoded.confidence - given.confidence).max() <= 1 / 32
    assert decoded.latents is None if decoded.header.flat else decoded.latents.shape == (n_frames, 4, 4)
    if detail:  # noise of K = 16 has 1.1 dB; it is not encoded, what stands out of it is
        error = np.sqrt(np.mean(np.square(decoded.spectra - frames.psd[:n_frames])))
        assert error < 1.6


@pytest.mark.parametrize(("label", "n_runs"), [([1] * 32, 1), ([0] * 20 + [1] * 12, 2), ([0, 1] * 8 + [1], 16), ([1], 1)],
                         ids=["one run", "two runs", "in turn, odd", "one frame"])
def test_classes_take_half_a_byte_a_frame_and_two_a_run(fitted, frames, label, n_runs):
    confidence = np.linspace(0, 1, len(label))
    assert len(pack_classes(label, confidence)) == -(-len(label) // 2) + 2 * n_runs
    given = group(fitted, frames, len(label), label=np.array(label), confidence=confidence)
    codec = Codec(fitted)
    data, without = codec.encode(given), codec.encode(replace(given, label=None, confidence=None))
    assert len(data) - len(without) - len(pack_classes(label, confidence)) in (0, 1)  # the length may take a byte more
    decoded, plain = codec.decode(data), codec.decode(without)
    assert decoded.header.label == tuple(label) and np.abs(decoded.confidence - confidence).max() <= 1 / 32
    assert plain.label is None and plain.confidence is None
    np.testing.assert_array_equal(decoded.spectra, plain.spectra)


def test_more_frames_than_a_byte_counts(fitted, frames):
    """A run of 200 takes two bytes for its length; 16 levels and their limits."""
    confidence = np.concatenate((np.arange(17) / 16, np.full(183, 0.999)))
    label = np.zeros(200, int)
    assert len(pack_classes(label, confidence)) == 100 + 3
    tile = np.arange(200) % 40
    given = group(fitted, frames, 40)
    given = replace(given, level=given.level[tile], latents=given.latents[tile], floor=given.floor[tile], average=(16,) * 200,
                    label=label, confidence=confidence)
    decoded = Codec(fitted).decode(Codec(fitted).encode(given, step=4.0))
    assert decoded.label == ["noise"] * 200
    assert decoded.confidence[:17] == pytest.approx((np.minimum(np.arange(17), 15) + 0.5) / 16)


def test_flat_noise_is_sent_without_latents(fitted, frames):
    codec, given = Codec(fitted), group(fitted, frames)
    data = codec.encode(given, step=0.25)
    header, payload, _ = unpack(data)
    assert header.flat and header.detail_step is not None  # an untrained decoder knows nothing of these spectra
    prior = entropy.prior_of(codec.of(given.variant).scale[:1], step_of(header.latent_step))
    floor = along_time(entropy.decode(payload, 32, prior, header.block) * step_of(header.latent_step), header.block, inverse=True)
    decoded = codec.decode(data)
    assert floor.shape == (32, 1) and len(payload) < 16
    assert decoded.floor == pytest.approx(header.floor_db + floor[:, 0] / 4, abs=1e-4)
    assert decoded.latents is None and decoded.label is not None


def test_classes_that_cannot_be_encoded(fitted, frames):
    given, codec = group(fitted, frames, 4), Codec(fitted)
    for more, says in (({"label": None}, "as many labels"), ({"confidence": np.full(3, 0.5)}, "as many labels"),
                       ({"label": np.full(4, 2)}, "labels 2..2 are not among the 2"), ({"label": np.full(4, -1)}, "not among"),
                       ({"confidence": np.full(4, 1.5)}, "outside 0..1"), ({"confidence": np.full(4, np.nan)}, "outside 0..1")):
        with pytest.raises(CodecError, match=says):
            codec.encode(replace(given, **more))


def test_classes_that_make_no_sense_are_refused(fitted, frames):
    """Bytes whose checksum is right, which this program has not written."""
    codec, given = Codec(fitted), group(fitted, frames, 4, label=np.ones(4, int), confidence=np.full(4, 0.5))
    data = codec.encode(given, step=4.0)
    classes = pack_classes(given.label, given.confidence)
    at = data.index(classes)
    changed = lambda runs: with_checksum(data[:at] + runs + data[at + len(runs):])  # noqa: E731
    assert codec.decode(changed(classes)).label == ["signal"] * 4
    for runs, says in ((b"\x04\x02", "names label 2"), (b"\x05\x01", "classes of 5 frames and has 4"),
                       (b"\x00\x01", "classes of 0 frames")):
        with pytest.raises(CodecError, match=says):
            codec.decode(changed(runs))
    header = replace(unpack(data)[0], label=tuple([0, 1] * 2))
    with pytest.raises(CodecError):
        unpack(with_checksum(pack(header, b"")[:-6] + bytes(4)))  # ends within them


@pytest.mark.parametrize("classes", [True, False])
def test_a_group_takes_label_and_confidence_from_the_features(model, frames, classes):
    file = ModelFile(model.contract | {"heads": {"classes": classes}}, model.tensors)
    tokens, side = frames.layout.split(frames.items[:16])
    values = np.zeros((16, features.N_FEATURES), np.float32)
    told = np.random.default_rng(4).dirichlet((1, 1), 16)
    values[:, features.PROBABILITIES.start:features.PROBABILITIES.start + 2] = told
    encoded = EncodedFrames(None, values, None, np.zeros((16, 4, 4), np.float32))
    places = [Place(n * 16 * N, 16 * N, RATE, None, None, "ism", model.variants[0]) for n in range(16)]
    data, = GroupBuilder(Codec(file), 16, 1.0).add(encoded, tokens[..., :-2].reshape(16, N), side, places)
    decoded = Codec(file).decode(data)
    if classes:
        assert decoded.header.label == tuple(told.argmax(axis=1)) and len(set(decoded.label)) == 2
        assert np.abs(decoded.confidence - told.max(axis=1)).max() <= 1 / 32
    else:
        assert decoded.label is None and decoded.confidence is None


def test_smaller_steps_cost_more_and_err_less(fitted, frames):
    codec, given = Codec(fitted), group(fitted, frames)
    sizes, errors = [], []
    for step in (4.0, 1.0, 0.25):
        data = codec.encode(given, step=step)
        sizes.append(len(data))
        errors.append(float(np.mean(np.square(codec.decode(data).spectra - frames.psd[:32]))))
    assert sizes == sorted(sizes) and errors == sorted(errors, reverse=True)


def test_refinement_brings_the_decoded_spectrum_nearer(fitted, frames):
    given, codec = group(fitted, frames), Codec(fitted).of(fitted.variants[0])
    condition = codec.condition(given.floor, given.average, RATE)
    errors = [float(np.square(codec.decoder.mean_db(codec.refined(given.latents, given.level, condition, steps), condition)
                              - given.level).mean()) for steps in (0, 2, 8)]
    assert errors[2] < errors[1] < errors[0]


def test_a_model_without_a_fitted_codec_works_too(model, frames):
    codec = Codec(model)
    decoded = codec.decode(codec.encode(group(model, frames), step=0.25))
    assert np.sqrt(np.mean(np.square(decoded.spectra - frames.psd[:32]))) < 1.6


def test_unknown_frequency_and_time_and_a_short_last_frame(fitted, frames):
    given = group(fitted, frames, 5, rx_freq=None, rx_time=None, rx_rate=1234567.25)
    given = Group(**{**vars(given), "average": (16, 16, 16, 16, 3)})
    header = Codec(fitted).decode(Codec(fitted).encode(given)).header
    assert header.rx_freq is None and header.times() is None
    assert header.rx_rate == 1234567.25 and header.average == (16, 16, 16, 16, 3)


def test_the_header_is_small(fitted, frames):
    assert len(Codec(fitted).encode(group(fitted, frames, 1), step=512.0)) < 60


def test_frames_that_cannot_be_encoded(fitted, frames):
    given = group(fitted, frames, 4)
    with pytest.raises(CodecError, match="not 0"):
        Codec(fitted).encode(group(fitted, frames, 0))
    with pytest.raises(CodecError, match="finite"):
        Codec(fitted).encode(Group(**{**vars(given), "level": np.full_like(given.level, np.nan)}))
    with pytest.raises(ValueError, match="step 1000"):
        Codec(fitted).encode(given, step=1000.0)


def test_another_model_is_refused(fitted, model, frames):
    data = Codec(fitted).encode(group(fitted, frames))
    assert identity(model) != identity(fitted)
    with pytest.raises(CodecError, match="another model"):
        Codec(model).decode(data)


def test_every_damaged_byte_is_noticed(fitted, frames):
    codec = Codec(fitted)
    data = codec.encode(group(fitted, frames, 3), step=4.0)
    for at in range(len(data)):
        with pytest.raises(CodecError):
            codec.decode(data[:at] + bytes((data[at] ^ 0x10,)) + data[at + 1:])
        with pytest.raises(CodecError):
            codec.decode(data[:at])


def test_no_bytes_do_more_than_raise_a_codec_error(fitted):
    rng = np.random.default_rng(3)
    codec = Codec(fitted)
    for size in (0, 1, 3, 4, 30, 300):
        with pytest.raises(CodecError):
            codec.decode(rng.bytes(size))
        with pytest.raises(CodecError):
            codec.decode(b"\xd5SE\x02" + rng.bytes(size))
        with pytest.raises(CodecError):
            codec.decode(with_checksum(b"\xd5SE\x02" + bytes((size % 100 + 4,)) + rng.bytes(size % 100) + bytes(4)))


@pytest.mark.parametrize("detail", [False, True])
def test_no_changed_byte_with_a_right_checksum_does_more(fitted, frames, detail):
    codec = Codec(fitted)
    data = codec.encode(group(fitted, frames, 3), step=0.25, detail=detail)
    for at in range(len(data) - 4):
        for change in (0x01, 0x10, 0xFF):
            try:
                codec.decode(with_checksum(data[:at] + bytes((data[at] ^ change,)) + data[at + 1:]))
            except CodecError:
                pass


@pytest.mark.parametrize(("field", "value"), [
    ("rx_time", -1.0), ("rx_time", float("nan")), ("rx_time", float("inf")), ("rx_time", 1e300), ("rx_rate", 1e300),
    ("rx_rate", float("nan")), ("rx_freq", float("nan")), ("rx_freq", -1e300), ("frame_start", 2**63 - 1), ("frame_start", 2**64),
    ("frame_hop", 2**62), ("frame_hop", 2**69), ("floor_db", 10**6), ("latent_step", 128), ("block", 200), ("variant", 200)])
def test_headers_that_cannot_be_are_refused(fitted, frames, field, value, monkeypatch):
    """Its checksum is right: an encoder that went wrong, or an attack."""
    data = Codec(fitted).encode(group(fitted, frames, 3))
    header, latents, detail = unpack(data)
    monkeypatch.setattr("gnuradio.spectrumencoder.encoder.pdu._number", lambda number: b"\0" + struct.pack("<d", number))
    crafted = pack(replace(header, **{field: value}), latents, detail)
    with pytest.raises(CodecError) as error:
        Codec(fitted).decode(crafted)
    assert "\n" not in str(error.value)


def test_version_1_is_refused(fitted, frames):
    data = Codec(fitted).encode(group(fitted, frames, 2))
    with pytest.raises(CodecError, match="PDU of version 1; this program decodes version 2"):
        Codec(fitted).decode(with_checksum(data[:3] + b"\x01" + data[4:]))


def test_a_file_is_read_past_what_is_damaged(fitted, frames):
    codec = Codec(fitted)
    units = [codec.encode(group(fitted, frames, n, frame_start=n), step=2.0) for n in (3, 4, 5, 6, 7)]
    damaged = bytearray(units[1])
    damaged[20] ^= 1
    newer = with_checksum(units[2][:3] + b"\x09" + units[2][4:])
    content = b"noise" + units[0] + bytes(damaged) + newer + units[3] + units[4][:-10]
    found = list(iterate(content))
    assert [unpack(u)[0].frame_start for _, u in found if isinstance(u, bytes)] == [3, 6]
    errors = [str(u) for _, u in found if isinstance(u, CodecError)]
    assert len(errors) == 4
    assert "no PDU" in errors[0] and "damaged" in errors[1] and "version 9" in errors[2] and "truncated" in errors[3]
    assert list(iterate(b"")) == []
