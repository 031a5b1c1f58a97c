# SPDX-License-Identifier: GPL-3.0-or-later
"""gr-spectrumencoder: FFT tokenizer, spectrum encoder and anomaly detector for GNU Radio 3.10.

``from gnuradio import spectrumencoder`` gives the blocks. Where GNU Radio is absent (training on a GPU host) the package
imports as plain ``spectrumencoder``: everything but the blocks and the C++ kernel works, and asking for those says why not.
Names are resolved on first use, so that importing the package does not load PyTorch.

The names in ``__all__`` are stable; docs/python.md lists them. Everything else in the package is internal.
"""

from importlib import import_module as _import_module
from typing import Any as _Any

from .soapy_path import add_module_folder as _add_module_folder
from .vendored import add_vendored as _add_vendored

_add_vendored()
_add_module_folder()

_BLOCKS = {
    "fft_tokenizer": "blocks.native",
    "sigmf_source": "blocks.sigmf_source",
    "spectrum_encoder": "blocks.spectrum_encoder",
    "spectrum_decoder": "blocks.spectrum_decoder",
    "anomaly_detector": "blocks.anomaly_detector",
    "anomaly_display": "blocks.anomaly_display",
    "doma_tracker": "blocks.doma_tracker",
    "event_log": "blocks.event_log",
    "hub_sender": "blocks.hub_sender",
    "sigmf_annotator": "blocks.sigmf_annotator",
    "signal_list": "blocks.signal_list",
    "spectrum_monitor": "blocks.spectrum_monitor",
    "band_scanner": "blocks.band_scanner",
    "snippet_recorder": "blocks.snippet_recorder",
}
_OF_FLOWGRAPHS = {  # these need GNU Radio, as the blocks do
    "run_flowgraph": "blocks.run_flowgraph",
    "SafeBlock": "blocks.safe_block",
    "handler": "blocks.safe_block",
    "setter": "blocks.safe_block",
    "MalformedMessage": "blocks.messages",
    "metadata": "blocks.messages",
    "to_pmt": "blocks.messages",
}
_FUNCTIONS = {  # and classes: NumPy in, NumPy out
    "tokenize": "tokens.tokenize",
    "Recording": "recordings",
    "Engine": "encoder.engine",
    "EmitterDetector": "emitters.watcher",
    "BandFile": "emitters.band_file",
    "Detector": "detector.detector",
    "Segment": "detector.events",
    "learn_bands": "detector.learn_band",
    "DomaTracker": "tracker.doma",
}
_MODULES = {  # with the names in them that are stable; of `keys` all are
    "keys": (),
    "recordings": ("open_recording", "find_recordings", "RecordingError"),
    "session": ("run", "RunSettings", "Outcome", "SessionError", "SettingError"),
}

__all__ = sorted([*_BLOCKS, *_OF_FLOWGRAPHS, *_FUNCTIONS, *_MODULES])


def __getattr__(name: str) -> _Any:
    """A public name, from its module, which is imported now."""
    if name in _MODULES:
        return _import_module(f".{name}", __name__)
    where = _BLOCKS.get(name) or _OF_FLOWGRAPHS.get(name) or _FUNCTIONS.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _FUNCTIONS:
        try:
            import gnuradio.gr  # noqa: F401
        except ImportError as error:
            what = "the block " if name in _BLOCKS else ""
            raise ImportError(f"{what}{name!r} needs GNU Radio 3.10, which this Python does not have ({error}); "
                              "run it from the project's .venv, made from /usr/bin/python3") from error
    return getattr(_import_module(f".{where}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *(name for name in globals() if name.startswith("__"))])
