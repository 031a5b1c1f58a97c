# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of this machine: the parts that the module needs or can use, and the cure for each missing one."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..extras import EXTRAS, how_to_get

PIP = "run `make setup` in the sources, or see docs/install.md"
PACKAGES = ("safetensors", "sigmf", "scipy", "typer", "rich")
EXTRA_PARTS = {  # extras without a check of their own: what they are for
    "web": "the page of --web", "push": "--mqtt and --notify", "hub": "--hub and hub", "archive": "run --report",
    "cluster": "--cluster", "digital_rf": "Digital RF recordings"}
DEBIAN_PACKAGES = "/usr/lib/python3/dist-packages"  # packages of the Python that Debian's GNU Radio is built for


@dataclass(frozen=True)
class Finding:
    """One line of the report. A missing part that is not needed is not a failure."""

    part: str
    found: str = ""  # empty: missing
    cure: str = ""
    needed: bool = True


def examine() -> list[Finding]:
    """Everything the program needs or can use, found or not."""
    checks: list[Callable[[], Finding]] = [
        _python, _gnuradio, _numpy, _torch, *[_package_check(name) for name in PACKAGES], _matplotlib,
        _attention, _package, _bindings, _native_runtime, _grc_blocks, _models, _soapy, _test_radio, _display,
        *[_extra_check(extra) for extra in EXTRA_PARTS],
    ]
    return [check() for check in checks]


def _python() -> Finding:
    return Finding("Python", f"{'.'.join(map(str, sys.version_info[:3]))} in {sys.prefix}")


def _gnuradio() -> Finding:
    cure = "run `sudo apt-get install gnuradio gnuradio-dev` and use a venv made by " \
           "`/usr/bin/python3 -m venv --system-site-packages .venv`"
    try:
        from gnuradio import gr
    except ImportError as error:
        return Finding("GNU Radio", cure=f"{error}; {cure}")
    if not gr.version().startswith("3.10"):
        return Finding("GNU Radio", cure=f"found {gr.version()}, the module is for 3.10; {cure}")
    return Finding("GNU Radio", gr.version())


def _numpy() -> Finding:
    import numpy
    found = numpy.__version__
    for debian in importlib.metadata.distributions(name="numpy", path=[DEBIAN_PACKAGES]):
        major = debian.version.partition(".")[0]
        if major != found.partition(".")[0]:
            return Finding("NumPy", cure=f"found {found}, but GNU Radio is built for NumPy {major}; run `pip install "
                                         f"'numpy>={major},<{int(major) + 1}'`")
    return Finding("NumPy", found)


def _torch() -> Finding:
    part = "PyTorch"
    try:
        import torch
    except ImportError as error:
        return Finding(part, cure=f"{error}; only training, experiments, GPUs and oracle backends need it: {how_to_get('torch')}",
                       needed=False)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU only"
    return Finding(part, f"{torch.__version__}, {device}")


def _attention() -> Finding:
    part = "attention"
    device, rows = attention_backends()
    usable = [row["name"] for row in rows if row["available"]]
    return Finding(part, f"{len(usable)} of {len(rows)} backends run on {device}" if usable else "",
                   "; ".join(f"{row['name']}: {row['reason']}" for row in rows if row["reason"]))


def attention_backends() -> tuple[str, list[dict]]:
    """The device that compute=auto chooses, and ``describe_backends`` of it."""
    from ..encoder.attention import describe_backends
    from ..encoder.pytorch import choose_device
    device = choose_device("auto")
    return device, describe_backends(device)


def _package_check(name: str) -> Callable[[], Finding]:
    def check() -> Finding:
        try:
            return Finding(name, importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            return Finding(name, cure=PIP)
    return check


def _extra_check(extra: str) -> Callable[[], Finding]:
    def check() -> Finding:
        absent = [package for name, package in EXTRAS[extra].items() if find_spec(name) is None]
        if absent:
            return Finding(extra, cure=f"for {EXTRA_PARTS[extra]} run `pip install {' '.join(absent)}` (docs/install.md)",
                           needed=False)
        return Finding(extra, ", ".join(map(_version, EXTRAS[extra].values())))
    return check


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package


def _matplotlib() -> Finding:
    part = "matplotlib"
    try:
        return Finding(part, importlib.metadata.version(part))
    except importlib.metadata.PackageNotFoundError:
        return Finding(part, cure="for pictures (--plot) run `sudo apt-get install python3-matplotlib`", needed=False)


def _package() -> Finding:
    return Finding("spectrumencoder", str(Path(__file__).resolve().parent.parent))


def _bindings() -> Finding:
    part = "C++ tokenizer"
    try:
        module = importlib.import_module("gnuradio.spectrumencoder.blocks.native")
        tokenizer = module.fft_tokenizer
    except (ImportError, AttributeError) as error:
        library = ctypes.util.find_library("gnuradio-spectrumencoder")
        hint = "its library is there but was built for another Python" if library else "it is not built"
        return Finding(part, cure=f"{error}; {hint}: run `make install`")
    return Finding(part, str(getattr(tokenizer, "__module__", "loaded")))


def _native_runtime() -> Finding:
    part = "native runtime"
    from ..encoder.native import best_instructions
    instructions = best_instructions()
    return Finding(part, f"the encoder in C++, {instructions}" if instructions else "", cure="run `make install`", needed=False)


def _grc_blocks() -> Finding:
    part, name = "GRC blocks", "spectrumencoder_fft_tokenizer.block.yml"
    folders = [Path(sys.prefix) / "share/gnuradio/grc/blocks"]
    folders += [Path(f) for f in os.environ.get("GRC_BLOCKS_PATH", "").split(":") if f]
    folders += [Path("/usr/local/share/gnuradio/grc/blocks"), Path("/usr/share/gnuradio/grc/blocks")]
    for folder in folders:
        if (folder / name).is_file():
            return Finding(part, str(folder))
    return Finding(part, cure="run `make install`; open them with `make grc`", needed=False)


def _models() -> Finding:
    part = "model base"
    from ..encoder.model_file import ModelError, find_model, load
    try:
        path = find_model("base")
        load(path)
    except (ModelError, OSError) as error:
        return Finding(part, cure=str(error))
    return Finding(part, str(path))


def _display() -> Finding:
    part = "display"
    try:
        from PyQt5 import QtCore  # first: pyqtgraph takes what is imported, and else PyQt6 if there is one

        import pyqtgraph  # isort: skip
    except ImportError as error:
        return Finding(part, needed=False,
                       cure=f"{error}; for anomaly_display run `sudo apt-get install python3-pyqt5 python3-pyqtgraph`")
    return Finding(part, f"PyQt {QtCore.PYQT_VERSION_STR}, pyqtgraph {pyqtgraph.__version__}")


def _soapy() -> Finding:
    part = "SoapySDR"
    cure = "run `sudo apt-get install python3-soapysdr soapysdr-module-all` for live radios; recordings need none"
    try:
        import SoapySDR
        from gnuradio import soapy  # noqa: F401
    except ImportError as error:
        return Finding(part, cure=f"{error}; {cure}", needed=False)
    return Finding(part, f"{SoapySDR.getLibVersion()}, `spectrumencoder devices` lists the radios", cure, needed=False)


def _test_radio() -> Finding:
    from ..soapy_path import MODULE, module_folder
    part, folder = "test radio", module_folder()
    if folder is not None:
        return Finding(part, f"driver=spectrumtest, {folder / MODULE}")
    return Finding(part, cure="run `make install`; it needs libsoapysdr-dev and nlohmann-json3-dev", needed=False)
