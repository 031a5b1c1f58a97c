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
from gnuradio.spectrumencoder.encoder.attention import BACKENDS
from gnuradio.spectrumencoder.settings import DETECTOR, ENCODER, TOKENIZER, TRACKER, of_monitor, of_stage
from gnuradio.spectrumencoder.tokens.band_plan import BANDS

GRC = Path(__file__).resolve().parents[2] / "grc"
FILES = sorted(GRC.glob("*.block.yml"))
PREFIX = "spectrumencoder_"
ROWS = {"fft_tokenizer": of_stage(TOKENIZER), "spectrum_encoder": of_stage(ENCODER), "anomaly_detector": of_stage(DETECTOR),
        "doma_tracker": of_stage(TRACKER), "spectrum_monitor": of_monitor()}
OF_THE_MODEL = {"fft_size", "stride", "window"}  # the constructor of spectrum_monitor takes the model's; GRC needs numbers


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


@pytest.fixture(params=ROWS)
def stage(request, platform):
    """(description, block as dropped in, settings) of a block that has settings."""
    raw = yaml.safe_load((GRC / f"{PREFIX}{request.param}.block.yml").read_text())
    block = platform.make_flow_graph().new_block(raw["id"])
    block.params["id"].set_value("dut_0")
    return raw, block, [row for row in ROWS[request.param] if row.argument]


def parameters(raw):
    return {parameter["id"]: parameter for parameter in raw["parameters"]}


def test_every_setting_is_a_parameter_with_its_default(stage):
    raw, _, rows = stage
    for row in rows:
        parameter = parameters(raw)[row.key]
        if row.key != "samp_rate":  # the flowgraph's variable
            text = parameter["default"]
            assert (text if row.kind is str else ast.literal_eval(text)) == row.default, row.key
        kinds = {float: {"real"}, int: {"int"}, str: {"string", "file_save"}, bool: {"bool"}, list: {"raw"}}
        assert parameter["dtype"] in (kinds[row.kind] if not (row.also and raw["id"] == f"{PREFIX}spectrum_monitor") else
                                      kinds[row.kind] | {"raw"}), row.key


def test_options_are_the_choices(stage):
    raw, _, rows = stage
    fast = [name for name in BACKENDS if not name.endswith("_naive")]  # not the oracles
    tables = {"backend": ("auto", *fast), "band": ("auto", *BANDS)}  # those that settings.py leaves to others
    for row in rows:
        choices = tables.get(row.key, row.choices)
        if choices:
            assert set(parameters(raw)[row.key]["options"]) == set(choices), row.key


def test_asserts_are_the_ranges(stage):
    """At both ends of each range, and beyond them, GRC says what the constructor says."""
    raw, _, rows = stage
    values = {row.key: row.default for row in rows}

    def passes(key, value):
        return all(eval(text.removeprefix("${").removesuffix("}"), {}, values | {key: value}) for text in raw.get("asserts", [])
                   if re.search(rf"\b{key}\b", text))

    for row in rows:
        assert passes(row.key, row.default), row.key
        step = 1 if row.kind is int else 1e-9
        low, high, *_ = row.interval()
        for end, beyond in ((low, low - step), (high, high + step)):
            if row.range and abs(end) < float("inf"):
                value = row.kind(end)
                assert passes(row.key, value) == row.allows(value), f"{row.key} {value}"
                assert not passes(row.key, row.kind(beyond)) or row.allows(row.kind(beyond)), f"{row.key} {beyond}"
        for choice in (*row.choices, *row.aliases):
            assert passes(row.key, choice), f"{row.key} {choice}"


def test_callbacks_are_the_live_settings(stage):
    raw, _, rows = stage
    assert {text.split("(")[0] for text in raw["templates"]["callbacks"]} == {f"set_{row.key}" for row in rows if row.live}


@pytest.mark.parametrize("name", ["anomaly_detector", "spectrum_monitor"])
def test_a_flowgraph_that_was_saved_with_the_old_name_of_a_choice_is_valid(platform, name):
    flowgraph = platform.make_flow_graph()
    variable, block = flowgraph.new_block("variable"), flowgraph.new_block(f"{PREFIX}{name}")
    for of, key, value in ((variable, "id", "samp_rate"), (variable, "value", "1e6"), (block, "id", "dut_0"),
                           (block, "threshold_mode", "far")):
        of.params[key].set_value(value)
    flowgraph.rewrite()
    flowgraph.validate()
    assert [text for _, text in block.iter_error_messages() if "not connected" not in text] == []
    assert "threshold_mode='far'" in block.templates.render("make")


def test_defaults_of_the_cpp_block_are_the_settings():
    text = spectrumencoder.fft_tokenizer.__init__.__doc__.splitlines()[0]
    defaults = {key: ast.literal_eval(value) for key, value in re.findall(r"(\w+): \w+ = ([^,)]+)", text)}
    assert defaults == {row.key: row.default for row in of_stage(TOKENIZER)}
