# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that every test may use. The corpus is never in the repository: tests that need it skip where it is absent."""

import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MINI_RATE = 1e6
MINI_RECORDINGS = {"a_noise_01": (None, "noise-only"), "a_tone_01": ("tone", "GSM"), "a_fsk_01": ("fsk_sensor", "ISM-sensor-FSK"),
                   "b_fsk_01": ("fsk_sensor", "ISM-sensor-FSK"), "a_lora_01": ("lora", "LoRa"), "b_lora_01": ("lora", "LoRa")}
# A shell that runs tests in the background has them ignore Ctrl-C, and the programs that they start would, too
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("GR_DONT_LOAD_PREFS", "1")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _absent_extra(error: BaseException | None) -> str:
    """Why a test is skipped where a package of an extra is not installed; "" for any other error."""
    from gnuradio.spectrumencoder.extras import how_to_get

    cure = how_to_get((error.name or "").partition(".")[0]) if isinstance(error, ModuleNotFoundError) else None
    return f"needs {error.name.partition('.')[0]}, which is not installed; {cure}" if cure else ""


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    """A module that imports an absent extra at its head is skipped, with the reason."""
    report = yield
    if report.failed and isinstance(collector, pytest.Module):
        missing = re.search(r"ModuleNotFoundError: (?:No module named '|import of )([\w.]+)", str(report.longrepr))
        reason = _absent_extra(ModuleNotFoundError(name=missing[1])) if missing else ""
        if reason:
            report.outcome, report.longrepr, report.result = "skipped", (str(collector.path), 1, f"Skipped: {reason}"), []
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    return (yield from _skip_without_extra())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    return (yield from _skip_without_extra())


def _skip_without_extra():
    try:
        return (yield)
    except (ModuleNotFoundError, ValueError) as error:  # the engine refuses with a ValueError what only PyTorch can do
        reason = _absent_extra(error)
        if not reason and "needs PyTorch, which is not installed" in str(error):
            reason = str(error)
        if reason:
            pytest.skip(reason)
        raise


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real recordings: $SPECTRUMENCODER_CORPUS, else ../shared/corpus."""
    folder = Path(os.environ.get("SPECTRUMENCODER_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not any(folder.glob("*.sigmf-meta")):
        pytest.skip(f"no recordings in {folder}; set SPECTRUMENCODER_CORPUS")
    return folder


@pytest.fixture(scope="session")
def write_sigmf():
    """Writes samples as NAME.sigmf-data and .sigmf-meta, at 1 MS/s and 433.92 MHz if nothing else is said; returns the latter.

    iq is complex and written as cf32_le, or it is the bytes of a datatype. fields: more of the metadata's global part.
    """
    def write(folder, name, iq, samp_rate=1e6, *, freq_hz=433.92e6, datatype="cf32_le", captures=None, annotations=(), **fields):
        if not isinstance(iq, bytes):
            import numpy as np  # not before OMP_NUM_THREADS is set
            iq = np.asarray(iq, np.complex64).tobytes()
        captures = [{"core:sample_start": 0, "core:frequency": freq_hz}] if captures is None else captures
        meta = {"global": {"core:datatype": datatype, "core:sample_rate": samp_rate, "core:version": "1.2.0", **fields},
                "captures": captures, "annotations": list(annotations)}
        (folder / f"{name}.sigmf-data").write_bytes(iq)
        (folder / f"{name}.sigmf-meta").write_text(json.dumps(meta))
        return folder / f"{name}.sigmf-meta"
    return write


@pytest.fixture(scope="session")
def mini_corpus(tmp_path_factory, write_sigmf):
    """Folder of six cf32 recordings, 1 MS/s, 0.13 s each, labelled as the project's corpus is."""
    import numpy as np  # not before OMP_NUM_THREADS is set
    from gnuradio.spectrumencoder.simulate.waveforms import WAVEFORMS

    folder = tmp_path_factory.mktemp("mini_corpus")
    n = 2**17
    for number, (name, (waveform, cls)) in enumerate(MINI_RECORDINGS.items()):
        rng = np.random.default_rng(number)
        iq = rng.standard_normal((n, 2), np.float32).view(np.complex64)[:, 0] * np.float32(0.01)
        if waveform:
            iq += 0.2 * WAVEFORMS[waveform].function(rng, n, MINI_RATE)
        write_sigmf(folder, name, iq, MINI_RATE, freq_hz=868e6, annotations=[
            {"core:sample_start": 0, "core:sample_count": n, "core:label": cls,
             "core:comment": f"whole file; family=ism; class={cls}"}])
    return folder


@pytest.fixture(scope="session")
def model_file() -> Path:
    """The shipped model `base`."""
    from gnuradio.spectrumencoder.encoder.model_file import find_model

    return find_model("base")


@pytest.fixture(scope="session")
def demo_scene() -> Path:
    """The bundled recording of `make demo` (its .sigmf-meta)."""
    return ROOT / "examples" / "recordings" / "demo_scene.sigmf-meta"


@pytest.fixture(scope="session")
def program() -> list[str]:
    """Command line of `spectrumencoder`, to which arguments are appended."""
    code = "import sys; from gnuradio.spectrumencoder.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", code]
