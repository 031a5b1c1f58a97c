# SPDX-License-Identifier: GPL-3.0-or-later
"""Every setting of the chain, declared once: default, range, unit, stage, whether it changes live, name on the command line.

The constructors and setters of the blocks, ``control`` messages, ``Engine``, ``Detector``, ``RunSettings`` and the options of
``run`` and ``calibrate`` all read these rows. Tests hold the GRC descriptions, the C++ block and the pages against them.

A new setting is a row here, the class that obeys it, and the GRC description of its blocks. CONTRIBUTING.md has the recipe.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, make_dataclass
from types import SimpleNamespace
from typing import Any

TOKENIZER, ENCODER, DETECTOR, TRACKER, MONITOR = "tokenizer", "encoder", "detector", "tracker", "monitor"
RUN, CALIBRATE, SURVEY = "run", "calibrate", "survey"  # commands
EMITTERS, BOXES = "emitters", "boxes"  # detectors


_SLIDER = 1e-6  # a slider adds up its steps: a number so near to a whole one is that


@dataclass(frozen=True)
class Setting:
    """One row.

    Attributes:
        key: name of the constructor's argument, of the setter (``set_KEY``) and in messages.
        stages: blocks that have it.
        default: value of a block that was given none.
        kind: float, int, str, bool or list.
        help: one line, for the command line.
        range: interval of a number, such as "[0, 1)"; "" is any number.
        also: further values, beside the range.
        choices: possible values of a text; () leaves the check to the stage, which asks the model or the machine.
        aliases: old names of choices, which are still taken.
        unit: of a number.
        live: a running block takes a new value.
        argument: False: only ``control`` messages and the block's setter carry it.
        monitor: spectrum_monitor has it too.
        cli: name of its option; "" has none. ``--KEY`` works besides.
        commands: the commands that have the option.
        run_default: default of the option, if that is another.
        only: value of ``detector`` with which the setting means something; "": with each.
    """

    key: str
    stages: tuple[str, ...]
    default: Any
    kind: type
    help: str
    range: str = ""
    also: tuple = ()
    choices: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    unit: str = ""
    live: bool = False
    argument: bool = True
    monitor: bool = True
    cli: str = ""
    commands: tuple[str, ...] = (RUN,)
    run_default: Any = None
    only: str = ""

    @property
    def by_message(self) -> bool:
        """Whether ``control`` messages change it. The tokenizer has setters alone."""
        return self.live and TOKENIZER not in self.stages

    @property
    def option_default(self) -> Any:
        """Default on the command line."""
        return self.default if self.run_default is None else self.run_default

    def interval(self) -> tuple[float, float, bool, bool]:
        """(low, high, low is excluded, high is excluded) of ``range``."""
        if not self.range:
            return -math.inf, math.inf, False, False
        opening, low, high, closing = re.fullmatch(r"([\[(])(\S+), (\S+)([\])])", self.range).groups()
        return float(low), float(high), opening == "(", closing == ")"

    def allows(self, value) -> bool:
        """Whether a value of the right kind is in range."""
        if value in self.also:
            return True
        if self.kind is str:
            return not self.choices or value in self.choices
        if self.kind in (float, int):
            low, high, low_open, high_open = self.interval()
            return (low < value if low_open else low <= value) and (value < high if high_open else value <= high)
        return True

    def check(self, value):
        """The value: a float or an int if the setting is one (8.0, or 7.999999999 of a slider's steps, is the whole number 8), a
        choice by its present name.

        Raises:
            ValueError: it is no such number, or out of range; says what is possible.
            TypeError: it is none at all, such as None.
        """
        if isinstance(value, str) and value in self.aliases:
            return self.aliases[value]
        if value in self.also:
            return value
        try:
            given = float(value) if self.kind is float else value
            if self.kind is int:
                if isinstance(given, str) or abs(given - round(given)) > _SLIDER:
                    raise ValueError("a fraction")
                given = round(given)
        except (ValueError, OverflowError):
            raise ValueError(f"{self.key} {value!r} is not {self._possible()}") from None
        if not self.allows(given):
            outside = f"outside {self._span()}" if self.kind in (float, int) else f"not {self._possible()}"
            raise ValueError(f"{self.key} {value!r} is {outside}")
        return given

    def _possible(self) -> str:
        if self.choices:
            return f"one of {', '.join(choice or repr(choice) for choice in self.choices)}"
        names = {float: "a number", int: "a whole number", str: "a text", bool: "True or False", list: "a list"}
        return names[self.kind] + (f" in {self._span()}" if self.range else "")

    def _span(self) -> str:
        return " ".join(filter(None, (self.range, self.unit))) + "".join(f", and not {value!r}" for value in self.also)


_BOTH = (RUN, CALIBRATE)  # a table is learned with the settings that will run
_ALL = (*_BOTH, SURVEY)
_WINDOWS = ("blackmanharris", "blackman", "flattop", "hamming", "hann", "nuttall", "rectangular")
_FRAME = (TOKENIZER, ENCODER)
_ROWS = (
    Setting("model", (ENCODER, DETECTOR), "base", str, "Name of a shipped model, or a .safetensors file; speculative, or "
            "speculative:FAST,LARGE, for two of them.", cli="model", commands=_ALL),

    # Frames
    Setting("samp_rate", (TOKENIZER, DETECTOR), 0.0, float, "Sample rate; 0: as the tags say, else 1e6.", range="[0, inf)",
            unit="Hz", live=True),
    Setting("center_freq", (TOKENIZER, DETECTOR), 0.0, float, "Centre frequency; 0: as the tags say, else not known.", unit="Hz",
            live=True),
    Setting("use_tags", (TOKENIZER,), True, bool, "Follow rx_freq and rx_rate tags."),
    Setting("rate_factor", (TOKENIZER,), 1.0, float, "Rate here over rx_rate, such as 0.25 after a decimation by 4.",
            range="(0, inf)"),
    Setting("freq_offset", (TOKENIZER,), 0.0, float, "Centre here less rx_freq: of a converter, or a filter that shifts.",
            range="[-1e12, 1e12]", unit="Hz"),
    Setting("tag_channel", (TOKENIZER,), 0, int, "Of tags that hold a value for each channel.", range="[0, 65535]"),
    Setting("fft_size", (TOKENIZER, ENCODER, DETECTOR), 1024, int, "Bins of a spectrum.", range="[16, 65536]"),
    Setting("stride", _FRAME, 8, int, "Bins of a token.", range="[1, inf)"),
    Setting("average", (TOKENIZER,), 16, int, "Spectra averaged per frame, 1..64; auto: 16 or more, by the sample rate.",
            range="[1, 64]", also=("auto",), live=True, cli="average", commands=_ALL),
    Setting("overlap", (TOKENIZER,), 0.0, float, "Overlap of successive spectra.", range="[0, 0.95]", cli="overlap",
            commands=_ALL),
    Setting("window", _FRAME, "blackmanharris", str, "Window of a spectrum.", choices=_WINDOWS),
    Setting("settle_ms", (TOKENIZER,), 0.0, float, "Left out after a retune.", range="[0, 60000]", unit="ms", live=True,
            cli="settle-ms", commands=(RUN, SURVEY),
            run_default=10.0),
    Setting("min_output_buffer", _FRAME, 64, int, "Room for frames on each output.", range="[1, 65536]", unit="frames"),
    Setting("live", (TOKENIZER,), False, bool, "The samples come from a radio, by its clock.", monitor=False),

    # Encoder
    Setting("confidence_threshold", (ENCODER,), 0.8, float, "Of a speculative model: frames of a lower confidence go to the "
            "large one.", range="[0, 1]", live=True, cli="confidence"),
    Setting("compute", (ENCODER,), "auto", str, "auto, cpu, cuda or cuda:N.", cli="compute", commands=_ALL),
    Setting("backend", (ENCODER,), "auto", str, "Attention backend: auto, or one of those the model holds weights for.",
            live=True, cli="backend", commands=_ALL),
    Setting("dtype", (ENCODER,), "auto", str, "Precision of the transformer blocks: fp32, bf16, int8 (CPU) or auto.",
            choices=("auto", "fp32", "bf16", "int8"), cli="dtype", commands=_ALL),
    Setting("runtime", (ENCODER,), "auto", str, "Runtime of the network: native (C++, CPU), torch or auto.",
            choices=("auto", "native", "torch"), cli="runtime", commands=_ALL),
    Setting("dropout_rate", (ENCODER,), 0.25, float, "Share of tokens dropped.", range="[0, 1)", live=True, cli="dropout",
            commands=_ALL),
    Setting("dropout_policy", (ENCODER,), "", str, "Dropout policy: gumbel, energy, entropy or random; the model's own "
            "otherwise.", choices=("", "gumbel", "energy", "entropy", "random"), live=True, cli="policy", commands=_ALL),
    Setting("adaptive_dropout", (ENCODER,), "off", str, "Quiet frames: encoded as all (off), with few tokens (few), or not at "
            "all, with the last answer repeated (held).", choices=("off", "few", "held"), live=True, cli="adaptive-dropout"),
    Setting("rope_mode", (ENCODER,), "", str, "RoPE mode: none, static or dynamic; the model's own otherwise.",
            choices=("", "none", "static", "dynamic"), live=True, cli="rope", commands=_ALL),
    Setting("threads", (ENCODER,), 1, int, "CPU threads for one batch.", range="[1, inf)"),
    Setting("pad_batch", (ENCODER,), 16, int, "Frames per call of PyTorch; 0: as they come.", range="[0, 256]", unit="frames"),
    Setting("overload", (ENCODER,), "wait", str, "wait, or skip frames.", choices=("wait", "skip")),
    Setting("max_latency", (ENCODER,), 1.0, float, "Latency after which frames are skipped.", range="(0, inf)", unit="s"),
    Setting("encoded_group", (ENCODER,), 0, int, "Compressed spectra: how many go together.", range="[16, 64]", also=(0,),
            unit="frames", cli="encoded-group", run_default=32),  # 0: nothing is compressed
    Setting("encoded_step", (ENCODER,), 0.5, float, "Compressed spectra: step of the quantiser; smaller is more exact and takes "
            "more bytes.",
            range="[0.015625, 512]", unit="dB", live=True, cli="encoded-step"),
    Setting("keep_bands_hz", (ENCODER,), (), list, "Bands whose tokens are kept before others.", unit="Hz", live=True,
            argument=False),
    Setting("band", (ENCODER, DETECTOR), "auto", str, "Band of the recording; auto: by its centre frequency.", cli="band",
            commands=_BOTH),

    # Detector
    Setting("detector", (DETECTOR,), "emitters", str, "emitters: learns and follows the emitters of a band; boxes: the detector "
            "of the release before, by calibrated tables.", choices=(EMITTERS, BOXES), cli="detector", commands=_BOTH),
    Setting("learn_s", (DETECTOR,), 120.0, float, "Signal that is learned before anything is reported; 0 learns nothing.",
            range="[0, inf)", unit="s", live=True, cli="learn", only=EMITTERS),
    Setting("belongs_after", (DETECTOR,), 50, int, "A new emitter that was heard so often belongs to the band.", range="[1, inf)",
            unit="bursts", live=True, cli="belongs-after", only=EMITTERS),
    Setting("bursts", (DETECTOR,), False, bool, "Report single bursts of all emitters, too.", cli="bursts", only=EMITTERS),
    Setting("band_file", (DETECTOR,), "", str, "What is known of the band: read at the start if it is there, saved while running "
            "and at the end.", cli="band-file", only=EMITTERS),
    Setting("false_alarm_rate", (DETECTOR,), 0.01, float, "Of the detector boxes: false alarms per frame that are accepted.",
            range="[1e-6, 0.5]", live=True, cli="pfa", commands=_BOTH, only=BOXES),
    Setting("threshold_mode", (DETECTOR,), "calibrated", str, "Of the detector boxes: threshold by the calibrated tables "
            "(calibrated), by the last scores (quantile), or --threshold (fixed).", choices=("calibrated", "quantile", "fixed"),
            aliases={"far": "calibrated"}, live=True, cli="threshold-mode", only=BOXES),
    Setting("threshold", (DETECTOR,), 0.1, float, "Mean-square residual above which --threshold-mode fixed flags a frame.",
            range="(0, inf)", live=True, cli="threshold", only=BOXES),
    Setting("hold", (DETECTOR,), 4, int, "Frames without a sign of it after which a burst is over.", range="[1, 1000000]",
            unit="frames", live=True, cli="hold"),
    Setting("false_events_per_hour", (DETECTOR,), 1.0, float, "False alerts an hour that are accepted.",
            range="(0, inf]", live=True, cli="false-events"),
    Setting("usable", (DETECTOR,), 1.0, float, "Share of the band's width, around its middle, that is judged: the filter's flat "
            "part.", range="(0, 1]", cli="usable", commands=(RUN, SURVEY)),
    Setting("time_source", (DETECTOR,), "tag", str, "Origin of rx_time tags.", choices=("tag", "hardware", "host")),

    # Tracker
    Setting("gate", (TRACKER,), 0.999, float, "Share of a track's own reports that fall into its gate.", range="(0, 1)",
            live=True),
    Setting("process_noise", (TRACKER,), 1.0, float, "Factor on the noise of all motion models.", range="(0, inf)", live=True),
    Setting("horizon", (TRACKER,), (1.0, 5.0, 10.0, 30.0), list, "How far each message predicts; rising.", unit="s", live=True),
    Setting("position_error_m", (TRACKER,), 50.0, float, "Standard deviation, per axis, of a fix that carries none.",
            range="(0, inf)", unit="m", monitor=False),
    Setting("altitude_error_m", (TRACKER,), 30.0, float, "Likewise, of its altitude.", range="(0, inf)", unit="m", monitor=False),
    Setting("weak_snr_db", (TRACKER,), -1000.0, float, "A fix with a lower SNR starts no track.", range="[-1000, 1000]",
            unit="dB", monitor=False),
    Setting("interval", (TRACKER,), 1.0, float, "Between two messages of a track.", range="[0, inf)", unit="s", monitor=False),
    Setting("group_radius_m", (TRACKER,), 0.0, float, "Targets as near as that which move alike are a group; 0 is none.",
            range="[0, inf)", unit="m", monitor=False),

    # Monitor
    Setting("motion_aware", (MONITOR,), False, bool, "Token dropout keeps tokens where the tracker expects signals."),
    Setting("signals", (MONITOR,), False, bool, "List every signal of the band on the port signals."),
    Setting("tracks_file", (MONITOR,), "", str, "JSON lines of the tracks; may be empty."),
)
DEFAULT_RATE = 1e6  # Hz, if neither samp_rate nor a tag states it
SETTINGS = {row.key: row for row in _ROWS}
DEFAULTS = SimpleNamespace(**{row.key: row.default for row in _ROWS})  # DEFAULTS.hold == 4


def of_other_detector(detector: str, given: Mapping[str, Any]) -> Setting | None:
    """A setting that differs from its default and means nothing to this detector; None if there is none.

    Args:
        given: key -> value.
    """
    return next((row for key, value in given.items() if (row := SETTINGS[key]).only not in ("", detector)
                 and value != row.default), None)


def refusal(row: Setting, value: Any) -> str:
    """The line that says that a setting is of the other detector."""
    return f"{row.key} {value!r} is for detector={row.only}; leave it out, or choose that detector"


def of_stage(*stages: str) -> list[Setting]:
    """Settings of these stages, in the order of the rows."""
    return [row for row in _ROWS if any(stage in row.stages for stage in stages)]


def of_monitor() -> list[Setting]:
    """Arguments of spectrum_monitor."""
    return [row for row in _ROWS if row.monitor and row.argument]


def of_command(command: str) -> list[Setting]:
    """Settings that are options of ``run`` or ``calibrate``."""
    return [row for row in _ROWS if row.cli and command in row.commands]


def named_by(function: Callable, rows: list[Setting]) -> inspect.Signature:
    """The signature of a function that ends in ``**settings``, with the settings that it does not name itself in its place."""
    own = inspect.signature(function)
    *named, rest = own.parameters.values()
    if rest.kind is not inspect.Parameter.VAR_KEYWORD:
        raise TypeError(f"{function.__qualname__} does not end in **settings")
    return own.replace(parameters=[*named, *(
        inspect.Parameter(row.key, inspect.Parameter.KEYWORD_ONLY, default=row.default)
        for row in rows if row.key not in own.parameters)])


ChainSettings: Any = make_dataclass(
    "ChainSettings", [(row.key, row.kind, row.default) for row in of_command(RUN)], frozen=True,
    namespace={"__doc__": "A field for each setting that ``run`` has an option for, with the default of the blocks."})
