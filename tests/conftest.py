# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures that every test may use. The corpus is never in the repository: tests that need it skip where it is absent."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("GR_DONT_LOAD_PREFS", "1")
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of real recordings: $SPECTRUMENCODER_CORPUS, else ../shared/corpus."""
    folder = Path(os.environ.get("SPECTRUMENCODER_CORPUS") or ROOT.parent / "shared" / "corpus")
    if not any(folder.glob("*.sigmf-meta")):
        pytest.skip(f"no recordings in {folder}; set SPECTRUMENCODER_CORPUS")
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
