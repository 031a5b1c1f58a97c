# SPDX-License-Identifier: GPL-3.0-or-later
"""A run as a library: sources, the flowgraph, its outcome. The command line uses it, and so can a script::

    from gnuradio.spectrumencoder import session
    from gnuradio.spectrumencoder.recordings import open_recording

    outcome = session.run(open_recording("capture.sigmf-meta"), session.RunSettings(model="base"))
"""

from importlib import import_module as _import_module

_NAMES = {"run": "flowgraph", "Flowgraph": "flowgraph", "Outcome": "outcome", "RunSettings": "flowgraph",
          "run_source": "flowgraph", "RecordingSource": "sources", "RadioSource": "sources", "RadioOptions": "sources",
          "run_radio": "radio", "SessionError": "errors", "SettingError": "errors", "HungError": "errors"}
__all__ = list(_NAMES)


def __getattr__(name):
    """GNU Radio is imported when a run is made, not before."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f".{_NAMES[name]}", __name__), name)
