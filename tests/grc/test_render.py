# SPDX-License-Identifier: GPL-3.0-or-later
"""Every block YAML through GRC's own code: defaults validate, templates render, callbacks and arguments exist in Python.

GRC's schema checker passes YAML that cannot work (templates that do not render, callbacks that name no method, missing
defaults); this does not.
"""

import ast
import inspect
import os
import re
from pathlib import Path

import pytest
import yaml
from gnuradio import gr, spectrumencoder

GRC = Path(__file__).resolve().parents[2] / "grc"
FILES = sorted(GRC.glob("*.block.yml"))
PREFIX = "spectrumencoder_"


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    os.environ["GRC_BLOCKS_PATH"] = str(GRC)
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))  # GRC caches YAML; never a stale one
    from gnuradio.grc.core.platform import Platform
    made = Platform(name="render test", prefs=gr.prefs(), version=gr.version(),
                    version_parts=(gr.major_version(), gr.api_version(), gr.minor_version()))
    made.build_library()
    return made


@pytest.fixture(params=FILES, ids=lambda path: path.name.removesuffix(".block.yml").removeprefix(PREFIX))
def raw(request):
    return yaml.safe_load(request.param.read_text()) | {"path": request.param}


@pytest.fixture
def dropped(platform, raw):
    """The block as dropped into a flowgraph that has the usual samp_rate variable."""
    flowgraph = platform.make_flow_graph()
    variable = flowgraph.new_block("variable")
    variable.params["id"].set_value("samp_rate")
    variable.params["value"].set_value("1e6")
    block = flowgraph.new_block(raw["id"])
    assert block is not None, f"GRC did not load {raw['path'].name}"
    block.params["id"].set_value("dut_0")
    flowgraph.rewrite()
    flowgraph.validate()
    return block


def python_class(raw):
    return getattr(spectrumencoder, raw["id"].removeprefix(PREFIX))


def call_of(code):
    """The call node of a make template."""
    return ast.parse(code.strip()).body[0].value


def keyword_arguments(raw, code):
    return {k.arg: eval(compile(ast.Expression(k.value), "make", "eval"), {"samp_rate": 1e6})
            for k in call_of(code).keywords}


def argument_names(block_class):
    """Names of the constructor's arguments; those of a C++ block are in the first line of its binding's docstring."""
    if hasattr(block_class.__init__, "__code__"):
        return set(inspect.signature(block_class.__init__).parameters) - {"self"}
    return set(re.findall(r"(\w+): ", block_class.__init__.__doc__.splitlines()[0])) - {"self"}


def test_there_is_one_for_every_block():
    assert {path.name.removesuffix(".block.yml").removeprefix(PREFIX) for path in FILES} == set(spectrumencoder._BLOCKS)


def test_defaults_validate(dropped):
    problems = [text.splitlines()[0] for _, text in dropped.iter_error_messages() if "not connected" not in text]
    assert problems == []


def test_make_renders_with_the_constructors_own_names(dropped, raw):
    code = dropped.templates.render("make")
    assert "${" not in code and "{$" not in code
    call = call_of(code)
    assert ast.unparse(call.func) == f"spectrumencoder.{raw['id'].removeprefix(PREFIX)}" and not call.args
    names = {keyword.arg for keyword in call.keywords}
    assert names == argument_names(python_class(raw)) == {p["id"] for p in raw["parameters"]} - {"gui_hint"}


def test_defaults_are_the_constructors(dropped, raw):
    """What is dropped in does what the bare constructor does, but for what only GRC has (a file name, the stream sizes)."""
    block_class = python_class(raw)
    if not hasattr(block_class.__init__, "__code__"):
        block_class(**keyword_arguments(raw, dropped.templates.render("make")))
        return
    own = {"file", "output", "samp_rate", "fft_size", "stride", "window"}
    signature = inspect.signature(block_class.__init__).parameters
    for name, value in keyword_arguments(raw, dropped.templates.render("make")).items():
        if name not in own:
            assert value == signature[name].default, name


def test_callbacks_are_methods_of_the_class(dropped, raw):
    for callback in dropped.get_callbacks():
        assert "${" not in callback and "{$" not in callback and "$ {" not in callback
        call = ast.parse(callback).body[0].value
        method = ast.unparse(call.func).removeprefix("self.dut_0.")
        assert callable(getattr(python_class(raw), method, None)), method
        assert len(call.args) == 1 and method == f"set_{re.search(r'[(][$][{](.*)[}][)]', raw_callback(raw, method))[1]}"


def raw_callback(raw, method):
    return next(text for text in raw["templates"]["callbacks"] if text.startswith(f"{method}("))


def test_every_setter_is_a_callback(raw):
    """A live setting that GRC cannot change would be a parameter that only looks live."""
    block_class = python_class(raw)
    parameters = {p["id"] for p in raw["parameters"]}
    setters = {name for name in dir(block_class) if name.startswith("set_") and name.removeprefix("set_") in parameters}
    setters -= {"set_min_output_buffer"}
    assert {text.split("(")[0] for text in raw["templates"].get("callbacks", [])} == setters


def test_form(raw):
    assert raw["id"] == raw["path"].name.removesuffix(".block.yml")
    stages = "Sources|Radio|Tokens|Encoder|Detector|Tracker|Sinks|Monitor|Display"
    assert re.fullmatch(rf"\[SpectrumEncoder\]/({stages})", raw["category"])
    has_widget = any(parameter["dtype"] == "gui_hint" for parameter in raw["parameters"])
    assert raw["flags"] == ["python", *["need_qt_gui"] * has_widget] and raw["file_format"] == 1
    for parameter in raw["parameters"]:
        assert "default" in parameter, parameter["id"]
        if "options" in parameter:
            assert len(parameter["options"]) == len(parameter["option_labels"]), parameter["id"]
    for text in raw.get("asserts", []):
        assert re.fullmatch(r"\$\{.*\}", text)
    for port in raw.get("inputs", []) + raw["outputs"]:
        assert port["domain"] != "message" or port.get("optional") is True
    assert {"domain": "message", "id": "status", "optional": True} in raw["outputs"]
    for heading in ("Input:", "Output:", "Parameters:"):
        assert heading in raw["documentation"]


def test_every_parameter_is_explained_in_the_properties(raw):
    """The documentation, which the Properties dialog shows, names each parameter as its label does."""
    text = " ".join(raw["documentation"].split("Parameters:")[1].split()).lower()
    for parameter in raw["parameters"]:
        label = re.sub(r" ?[(].*[)]| without tags", "", parameter["label"]).strip().lower()
        assert label in text, parameter["label"]


def test_every_port_is_explained_in_the_properties(raw):
    text = raw["documentation"].split("Parameters:")[0]
    for port in raw.get("inputs", []) + raw["outputs"]:
        name = port.get("label") or port.get("id")
        assert name is None or re.search(rf"\b{name}\b", text), name


def test_numbers_have_ranges(raw):
    """Each number that a user types is in an assert, so that GRC refuses what the constructor would."""
    text = " ".join(raw.get("asserts", []))
    free = {"center_freq"}
    for parameter in raw["parameters"]:
        if parameter["dtype"] in ("int", "real", "float") and parameter["id"] not in free:
            assert re.search(rf"\b{parameter['id']}\b", text), parameter["id"]
