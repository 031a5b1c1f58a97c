# SPDX-License-Identifier: GPL-3.0-or-later
"""The stable names: docs/python.md lists what the package exports, each is documented and annotated, and its code runs."""

import inspect
import re
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from gnuradio import spectrumencoder

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "python.md"
BLOCKS = sorted(spectrumencoder._BLOCKS)
OTHERS = sorted([*spectrumencoder._OF_FLOWGRAPHS, *spectrumencoder._FUNCTIONS,
                 *(f"{module}.{name}" for module, names in spectrumencoder._MODULES.items() for name in names)])
OF_SETTINGS = {"spectrum_encoder", "anomaly_detector", "doma_tracker", "spectrum_monitor"}  # their rows state the types
HEAVY = ("numpy", "scipy", "torch", "matplotlib", "sigmf", "safetensors", "pyqtgraph", "PyQt5", "pmt", "gnuradio.gr")
HIDDEN = {"self", "cls", "args", "kwargs"}


def get(name):
    thing = spectrumencoder
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def parameters(function):
    return [p for p in inspect.signature(function).parameters.values() if p.name not in HIDDEN]


def own_methods(cls):
    """Public methods that the package defines for a class: [(name, function)]."""
    found = {}
    for base in reversed(cls.__mro__):
        if "spectrumencoder" in base.__module__:
            found |= {name: getattr(cls, name) for name, value in vars(base).items() if not name.startswith("_")
                      and (inspect.isfunction(value) or isinstance(value, (classmethod, staticmethod)))}
    return sorted(found.items())


def undocumented(name, function, text, args_only):
    """The parameters of a function that a docstring does not name; in its Args if `args_only`."""
    if args_only and parameters(function):
        head = "Attributes:" if is_dataclass(function) else "Args:"  # of a dataclass they are the same
        assert head in text, f"{name} has no {head}"
        text = re.split(r"\n\s*(?:Raises|Returns|Attributes):", text.split(head)[1])[0]
    return [p.name for p in parameters(function) if not re.search(rf"\b{p.name}\b", text)]


def not_annotated(function):
    """Parameters without a type, and `return` if it has none; a class needs none for what its call gives."""
    found = [p.name for p in parameters(function) if p.annotation is p.empty]
    signature = inspect.signature(function)
    return found + (["return"] if not inspect.isclass(function) and signature.return_annotation is signature.empty else [])


def test_the_page_lists_what_is_exported():
    listed = re.findall(r"^\| `([\w.]+)` ", PAGE.read_text(), re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == {*BLOCKS, *OTHERS, "keys"}
    assert set(spectrumencoder.__all__) == {name.split(".")[0] for name in listed}
    assert {name for name in dir(spectrumencoder) if not name.startswith("__")} == set(spectrumencoder.__all__)
    for module, names in spectrumencoder._MODULES.items():
        assert not names or set(names) <= set(get(module).__all__)
    with pytest.raises(AttributeError, match="no attribute 'soapy_paths'"):
        _ = spectrumencoder.soapy_paths


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_documents_every_parameter(name):
    block = get(name)
    text = inspect.getdoc(block)
    if name == "fft_tokenizer":  # compiled: its signature is the first line of the constructor's docstring
        names = re.findall(r"(\w+): ", block.__init__.__doc__.split("self: ")[1])
        assert len(names) == 14 and "Raises" in text
        assert [n for n in names if not re.search(rf"\b{n}\b", text.split("Args:")[1])] == []
    elif name == "spectrum_monitor":  # the settings of its stages are documented there
        stages = " ".join(inspect.getdoc(get(stage)) for stage in (
            "fft_tokenizer", "spectrum_encoder", "anomaly_detector", "doma_tracker"))
        assert undocumented(name, block, f"{text} {stages}", args_only=False) == []
    else:
        assert undocumented(name, block, text, args_only=True) == []
    if name not in {"fft_tokenizer", *OF_SETTINGS}:
        assert not_annotated(block) == []
    assert f"]({name}.md)" in PAGE.read_text(), "no link to its page"


@pytest.mark.parametrize("name", OTHERS)
def test_a_name_is_documented_and_annotated(name):
    thing = get(name)
    text = inspect.getdoc(thing)
    assert text and thing.__doc__, f"{name} has no docstring"
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    assert undocumented(name, thing, text, args_only=True) == []
    assert not_annotated(thing) == []
    for method, function in own_methods(thing) if inspect.isclass(thing) else []:
        assert function.__doc__, f"{name}.{method} has no docstring"
        assert undocumented(f"{name}.{method}", function, inspect.getdoc(function), args_only=False) == [], f"{name}.{method}"
        assert not_annotated(function) == [], f"{name}.{method}"
    for member, value in vars(thing).items() if inspect.isclass(thing) else []:
        if isinstance(value, property) and not member.startswith("_"):
            assert value.__doc__, f"{name}.{member} has no docstring"
            assert not_annotated(value.fget) == [], f"{name}.{member}"


def test_the_key_names_are_texts():
    names = [name for name in vars(spectrumencoder.keys) if name.isupper()]
    assert len(names) > 80 and all(isinstance(getattr(spectrumencoder.keys, name), (str, tuple, frozenset)) for name in names)


def test_importing_the_package_and_asking_for_its_names_loads_nothing_heavy():
    program = ("import sys\nfrom gnuradio import spectrumencoder\nfrom gnuradio.spectrumencoder import keys, session\n"
               "assert \"Engine\" in dir(spectrumencoder) and session and keys.EVENTS\n"
               f"print([m for m in {HEAVY} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stdout + done.stderr


def test_the_code_of_the_page_runs(tmp_path):
    """Every Python example, in the order of the page, in one process as a reader would type them."""
    codes = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(codes) >= 6
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    program = "".join(f"exec({code!r}, {{}})\nprint('ran')\n" for code in codes)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout.count("ran\n") == len(codes), done.stdout + done.stderr
