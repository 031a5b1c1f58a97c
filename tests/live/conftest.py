# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of live radios share: scenes, and the test radio opened through SoapySDR itself."""

import json

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def tell_of_a_hang(monkeypatch):
    """A run that hangs in this process ends the test, and not the process."""
    def leave(message):
        raise RuntimeError(message)
    for module in ("run", "main"):
        monkeypatch.setattr(f"gnuradio.spectrumencoder.cli.{module}.leave", leave)


@pytest.fixture
def make_scene(tmp_path):
    """make_scene(*emitters, noise_dbfs_hz=-130) -> path of a scene file. An emitter is a dict; its type is tone by default."""
    def make(*emitters, noise_dbfs_hz=-130.0, name="scene"):
        path = tmp_path / f"{name}.json"
        emitters = [{"type": "tone", "power_dbfs": -30} | emitter for emitter in emitters]
        path.write_text(json.dumps({"noise_dbfs_hz": noise_dbfs_hz, "emitters": emitters}))
        return path
    return make


class OpenRadio:
    """A test radio that streams; read(n) gives samples and counts what else the reads gave in ``codes``."""

    def __init__(self, soapy, args: str, freq: float):
        self.soapy = soapy
        self.device = soapy.Device(f"driver=spectrumtest,{args}")
        self.device.setFrequency(soapy.SOAPY_SDR_RX, 0, freq)
        self.stream = self.device.setupStream(soapy.SOAPY_SDR_RX, "CF32")
        self.device.activateStream(self.stream)
        self.codes: list[int] = []

    def read_once(self, n=8192, timeout_us=500_000):
        buffer = np.zeros(n, np.complex64)
        result = self.device.readStream(self.stream, [buffer], n, 0, timeout_us)
        if result.ret < 0:
            self.codes.append(result.ret)
        return buffer[:max(0, result.ret)], result

    def read(self, n, chunk=8192):
        parts, got = [], 0
        while got < n:
            part, _ = self.read_once(min(chunk, n - got))
            parts.append(part)
            got += len(part)
        return np.concatenate(parts)

    def close(self):
        self.device.deactivateStream(self.stream)
        self.device.closeStream(self.stream)


@pytest.fixture
def open_radio():
    """open_radio(args, freq) -> OpenRadio, closed at the end of the test."""
    import gnuradio.spectrumencoder  # noqa: F401 (puts the module's folder on the search path)
    import SoapySDR
    SoapySDR.setLogLevel(SoapySDR.SOAPY_SDR_WARNING)
    opened = []

    def make(args="pace=0", freq=100e6):
        opened.append(OpenRadio(SoapySDR, args, freq))
        return opened[-1]
    yield make
    for radio in opened:
        try:
            radio.close()
        except RuntimeError:  # one that a test has unplugged
            pass


@pytest.fixture(scope="session")
def spectrum():
    """spectrum(iq, rate, center=0, n=1024) -> (frequencies in Hz, powers in dBFS as the project's psd states them)."""
    def make(iq, rate, center=0.0, n=1024):
        window = np.blackman(n)
        blocks = iq[:len(iq) // n * n].reshape(-1, n) * window
        power = np.mean(np.abs(np.fft.fftshift(np.fft.fft(blocks, axis=1), axes=1)) ** 2, axis=0) / window.sum() ** 2
        return center + (np.arange(n) - n // 2) * rate / n, 10 * np.log10(power)
    return make


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """Path of an untrained model for frames of 128 bins: quick to load and to run."""
    from small_models import write_small_model
    return write_small_model(tmp_path_factory.mktemp("models") / "small.safetensors", "small", seed=1)


@pytest.fixture
def live_run(small_model, tmp_path):
    """live_run(args, duration=0.5, parts=(), ...) -> Outcome of a run as the command line makes it, in this process.

    The radio is the test radio at 250 kS/s (122 frames a second); options of RadioOptions by name.
    """
    from gnuradio.spectrumencoder.session.flowgraph import RunSettings, quiet_logs, run_source
    from gnuradio.spectrumencoder.session.sources import RadioOptions, radio_source

    def run(args="pace=1", freq=100e6, rate=250e3, duration=0.5, parts=(), watch=lambda flowgraph: None, settings=None,
            survey=False, **options):
        quiet_logs()
        source = radio_source(RadioOptions(f"driver=spectrumtest,{args}", freq, rate, duration=duration, **options))
        chain = {"model": small_model, "events": tmp_path / "events.jsonl"} | (settings or {})
        return run_source(source, RunSettings(**chain), parts=parts, watch=watch, survey=survey)
    return run
