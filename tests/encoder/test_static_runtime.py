# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes of static shapes: the same numbers as the eager runtime, in order, also when copies and passes run at the same time.

No GPU is needed. `ThreadLane` runs the steps of a lane in a thread of its own, as a CUDA stream runs them beside the host. So the
ring is tested with steps that do overlap; what is tested is the ring and the steps that CUDA uses too, without graphs.
"""

import queue
import threading
import time

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder import engine as engine_module
from gnuradio.spectrumencoder.encoder import static_runtime
from gnuradio.spectrumencoder.encoder.attention import DEFAULT_OF_FAMILY
from gnuradio.spectrumencoder.encoder.config import ATTENTION_FAMILIES, POLICIES, ROPE_MODES, EncoderConfig
from gnuradio.spectrumencoder.encoder.encoder import SpectrumEncoder
from gnuradio.spectrumencoder.encoder.engine import Engine
from gnuradio.spectrumencoder.encoder.lanes import HostLane, Lanes
from gnuradio.spectrumencoder.encoder.pass_ring import Pass, PassRing
from gnuradio.spectrumencoder.encoder.static_runtime import StaticNetwork, cut
from gnuradio.spectrumencoder.encoder.torch_runtime import EagerNetwork

CPU = torch.device("cpu")
SMALL = dict(fft_size=128, width=16, layers=1, heads=2, kv_heads=1, kv_rank=8, mhla_blocks=4, mlp_width=32, score_width=4,
             latents=2, latent_width=4, keep_choices=(4, 8, 16), decoder_width=32, embedding=8,
             labels=("noise", "LoRa", "BLE"), sub_bands=2)


class ThreadMark:
    """Set when all steps before it are done; holds the lane's first error."""

    def __init__(self):
        self.reached, self.error = threading.Event(), None

    def synchronize(self):
        assert self.reached.wait(20), "the lane hangs"
        if self.error is not None:
            raise self.error


class ThreadLane:
    """A lane whose steps run in a thread, each after a delay. After an error it runs no more steps, as a CUDA context does."""

    def __init__(self, delay_s=0.0):
        self._delay_s, self._steps, self._error = delay_s, queue.SimpleQueue(), None
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self):
        while True:
            step, always = self._steps.get()
            if always or self._error is None:
                try:
                    step()
                except RuntimeError as error:
                    self._error = error

    def run(self, step):
        self._steps.put((lambda: (time.sleep(self._delay_s), step()), False))

    def mark(self):
        mark = ThreadMark()

        def reach():
            mark.error = self._error
            mark.reached.set()

        self._steps.put((reach, True))
        return mark

    def after(self, mark):
        self._steps.put((mark.synchronize, False))


class DeafLane(ThreadLane):
    """A lane that does not wait for the others: it stands for a ring that forgets to."""

    def after(self, mark):
        pass


class Doubled:
    """A step: twice its input."""

    def __init__(self, rows=2, width=3):
        self.inputs, self.outputs = torch.zeros(rows, width), torch.zeros(rows, width)

    def run(self):
        torch.mul(self.inputs, 2.0, out=self.outputs)


def doubled_passes(count, taken, step=None):
    step = step or Doubled()
    return [Pass(step, lambda row, n=n: row.__setitem__(slice(None), n), lambda row: taken.append(float(row[0, 0])))
            for n in range(count)]


def items_for(network, count, seed=0):
    layout = network.layout
    rng = np.random.default_rng(seed)
    items = np.zeros((count, layout.item_size), np.float32)
    tokens, side = layout.split(items)
    tokens[:] = rng.normal(3.0, 6.0, tokens.shape)
    side[:] = rng.uniform((-90, 1, 500), (-60, 32, 3000), side.shape)
    return items, rng.integers(0, 5, count), rng.random((count, layout.n_tokens), np.float32)


def encode(network, count, *, kept=8, policy="gumbel", pad_batch=0, wanted=None, names=None, parts=None):
    config = network.network.config
    items, bands, noise = items_for(network, count)
    widths = {"residual": config.fft_size, "reconstruction": config.fft_size, "latents": config.latents * config.latent_width,
              "embedding": config.embedding, "probabilities": len(config.labels), "logit": 1, "keep_statistics": 8}
    if config.token_classes:
        widths["token_classes"] = config.n_tokens * (len(config.labels) + 2)
    out = {name: np.full((count, width), np.nan, np.float32) for name, width in widths.items() if not names or name in names}
    for part in parts or [slice(0, count)]:
        network.encode(items[part], bands[part], kept, policy, backend=DEFAULT_OF_FAMILY[config.attention], pad_batch=pad_batch,
                       noise=noise[part] if policy == "random" else None, wanted=None if wanted is None else wanted[part],
                       **{name: value[part] for name, value in out.items()})
    return out


@pytest.fixture(scope="module")
def made():
    torch.manual_seed(3)
    return SpectrumEncoder(EncoderConfig(**SMALL)).eval()


@pytest.mark.parametrize("places", [1, 2, 3])
@pytest.mark.parametrize("delays", [(0.004, 0, 0), (0, 0.004, 0), (0, 0, 0.004)], ids=["to_device", "compute", "to_host"])
def test_ring_gives_results_in_order_whichever_lane_is_slow(places, delays):
    taken = []
    PassRing(CPU, Lanes(*map(ThreadLane, delays)), places).run(doubled_passes(9, taken))
    assert taken == [2.0 * n for n in range(9)]


@pytest.mark.parametrize("deaf", ["compute", "to_host"])
def test_lanes_of_this_test_show_a_wait_that_is_missing(deaf):
    """Otherwise the test above proves nothing."""
    slow = {"compute": "to_device", "to_host": "compute"}[deaf]
    lanes = Lanes(ThreadLane(), ThreadLane(), ThreadLane())._replace(**{deaf: DeafLane(), slow: ThreadLane(0.02)})
    taken = []
    PassRing(CPU, lanes).run(doubled_passes(6, taken))
    assert taken != [2.0 * n for n in range(6)]


def test_passes_overlap():
    lanes, taken = Lanes(ThreadLane(0.02), ThreadLane(0.02), ThreadLane(0.02)), []
    began = time.perf_counter()
    PassRing(CPU, lanes).run(doubled_passes(8, taken))
    assert time.perf_counter() - began < 0.8 * 8 * 3 * 0.02  # 0.2 s if they overlap, 0.48 s one after the other


def test_ring_serves_passes_of_other_shapes():
    ring, taken = PassRing(CPU, Lanes(*(ThreadLane() for _ in range(3)))), []
    for step in (Doubled(2, 3), Doubled(8, 5), Doubled(1, 2)):
        ring.run(doubled_passes(4, taken, step))
    assert taken == [0, 2, 4, 6] * 3
    assert ring.host_bytes == 4 * 3 * (40 + 40)


class Failing(Doubled):
    """Fails in its third run."""

    runs = 0

    def run(self):
        self.runs += 1
        if self.runs == 3:
            raise RuntimeError("device: no memory")
        super().run()


@pytest.mark.parametrize("lane", [HostLane, ThreadLane])
def test_error_of_a_pass_is_raised_and_nothing_after_it_is_taken(lane):
    taken = []
    with pytest.raises(RuntimeError, match="no memory"):
        PassRing(CPU, Lanes(lane(), lane(), lane())).run(doubled_passes(6, taken, Failing()))
    assert taken in ([0.0, 2.0], [0.0], [])  # with lanes at once, passes that were in flight are given up


def test_cut():
    assert cut(40, 16) == [(16, 0, 16), (16, 16, 16), (16, 32, 8)]
    assert cut(1, 0) == [(1, 0, 1)]
    assert cut(2100, 0) == [(1024, 0, 1024), (1024, 1024, 1024), (64, 2048, 52)]
    assert cut(0, 16) == []


@pytest.mark.parametrize("family", ATTENTION_FAMILIES)
@pytest.mark.parametrize("rope", ROPE_MODES)
def test_static_passes_equal_the_eager_runtime(family, rope):
    torch.manual_seed(1)
    network = SpectrumEncoder(EncoderConfig(**SMALL, attention=family, rope=rope, token_classes=rope == "dynamic")).eval()
    for policy in POLICIES:
        for kept in (8, 16):
            ours, eager = (encode(made, 21, kept=kept, policy=policy, pad_batch=8)
                           for made in (StaticNetwork(network, CPU), EagerNetwork(network, CPU)))
            for name, value in eager.items():
                np.testing.assert_allclose(ours[name], value, rtol=2e-5, atol=2e-5, err_msg=f"{policy} {kept} {name}")


@pytest.mark.parametrize("family", ATTENTION_FAMILIES)
def test_rotation_without_complex_numbers_gives_the_same(family):
    torch.manual_seed(1)
    network = SpectrumEncoder(EncoderConfig(**SMALL, attention=family)).eval()
    with torch.no_grad():
        network.rope.slope.fill_(0.3)
    wanted = encode(EagerNetwork(network, CPU), 7)
    network.rope.real = True
    for name, value in encode(EagerNetwork(network, CPU), 7).items():
        np.testing.assert_allclose(value, wanted[name], rtol=2e-5, atol=2e-5, err_msg=name)


def test_wanted_tokens_and_an_answer_alone(made):
    wanted = np.zeros((5, 16), bool)
    wanted[:, 12:15] = True
    for options in ({"wanted": wanted}, {"names": ("embedding", "probabilities")}):
        ours, eager = (encode(cls(made, CPU), 5, **options) for cls in (StaticNetwork, EagerNetwork))
        assert ours.keys() == eager.keys()
        for name, value in eager.items():
            np.testing.assert_allclose(ours[name], value, rtol=2e-5, atol=2e-5, err_msg=name)


def test_token_classes_need_a_head(made):
    with pytest.raises(ValueError, match="the network has no token head"):
        StaticNetwork(made, CPU).encode(*items_for(EagerNetwork(made, CPU), 2)[:2], 8, "gumbel", backend="flash", pad_batch=0,
                                        token_classes=np.zeros((2, 16 * 5), np.float32))


def test_frames_do_not_depend_on_their_batch(made):
    network = StaticNetwork(made, CPU, lanes=Lanes(ThreadLane(0.001), ThreadLane(), ThreadLane(0.001)))
    whole = encode(network, 40, policy="random", pad_batch=8)
    parts = encode(network, 40, policy="random", pad_batch=8, parts=[slice(0, 1), slice(1, 14), slice(14, 39), slice(39, 40)])
    for name, value in whole.items():
        assert np.array_equal(value, parts[name]), name


def test_steps_are_made_once_and_forgotten_in_order(made, monkeypatch):
    monkeypatch.setattr(static_runtime, "MAX_STEPS", 3)
    network = StaticNetwork(made, CPU)
    for kept in (4, 8, 16, 8, 5, 6):
        encode(network, 3, kept=kept, pad_batch=4)
    assert [form.kept for form, _ in network._steps] == [16, 8, 5, 6]  # one more than are kept, until the next call
    step = network._steps[list(network._steps)[1]]
    encode(network, 3, kept=8, pad_batch=4)
    assert [form.kept for form, _ in network._steps] == [5, 6, 8]
    assert list(network._steps.values())[-1] is step


def test_auto_falls_back_to_the_cpu_and_says_so(model_file, monkeypatch, caplog):
    """A CUDA device that PyTorch cannot use after all: here there is none, so PyTorch itself refuses."""
    if torch.cuda.is_available():
        pytest.skip("this host has a CUDA device")
    monkeypatch.setattr(engine_module, "choose_device", lambda compute: "cuda")
    made = Engine(str(model_file), compute="auto")
    assert made.device == "cpu"
    assert made.device_note.startswith("compute auto: cuda does not serve these settings (")
    assert made.device_note in caplog.text
    assert np.isfinite(made.encode(np.zeros((2, made.layout.item_size), np.float32)).residual).all()
    with pytest.raises(ValueError, match="no CUDA device"):
        Engine(str(model_file), compute="cuda:0")


def test_auto_takes_the_cpu_for_the_native_runtime(model_file, monkeypatch):
    monkeypatch.setattr(engine_module, "choose_device", lambda compute: pytest.fail("the native runtime has no other device"))
    assert Engine(str(model_file), compute="auto", runtime="native").device == "cpu"
