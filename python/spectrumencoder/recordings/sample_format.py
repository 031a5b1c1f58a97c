# SPDX-License-Identifier: GPL-3.0-or-later
"""Data types of samples: their names, as SigMF has them and as people type them, and how bytes become numbers.

All SigMF data types are read (SigMF specification 1.2, "Sample Data Formats"): f64, f32, f16, i32, i16, i8, u32, u16,
u8, complex or real, little or big endian. Signed integers are divided by 2^(bits-1). Unsigned ones are taken around
their middle, so that cu8 is (x - 127.5) / 127.5. Floats are taken as they stand. Real samples are taken as I with Q = 0:
their spectrum is symmetric, and below ``core:frequency`` it mirrors what is above.

Other containers bring two types that SigMF has no name for: i24, integers of three bytes (WAV), and i24in32, integers of 24
bits in four bytes (SDRangel); full scale of both is 2^23.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..tokens.tokenize import optional_native_module
from .recording import RecordingArgumentError, RecordingError

SYNONYMS = {  # as rtl_sdr, hackrf_transfer, UHD, rx_sdr, gr-iridium, inspectrum and NumPy name them
    "rtl": "cu8", "rtlsdr": "cu8", "uc8": "cu8", "hackrf": "ci8", "sc8": "ci8", "cs8": "ci8",
    "sc16": "ci16_le", "cs16": "ci16_le", "sc32": "ci32_le", "cs32": "ci32_le",
    "fc32": "cf32_le", "cfile": "cf32_le", "complex64": "cf32_le", "fc64": "cf64_le", "complex128": "cf64_le"}
_DATATYPE = re.compile(r"([cr])(f64|f32|f16|i32|i16|i8|u32|u16|u8)(_le|_be)?")
_ADDED = re.compile(r"([cr])(i24|i24in32)(_le|_be)")
_KNOWN = "cf32_le, ci16_le, ci8, cu8, ... (c or r, then f64 f32 f16 i32 i16 i8 u32 u16 u8, then _le or _be)"
_COMPILED = tuple(map(np.dtype, (np.int8, np.uint8, np.int16, np.uint16)))  # the compiled module turns these into numbers


def parse_datatype(text: str) -> str:
    """The SigMF name of a data type that a person typed: itself, or one of SYNONYMS, in capitals or not; "_le" may be left out.

    Raises:
        RecordingArgumentError: neither is known.
    """
    name = str(text).strip().lower()
    name = SYNONYMS.get(name, name)
    if (match := _DATATYPE.fullmatch(name)) is None:
        raise RecordingArgumentError(f"datatype {text!r} is not known; use one of {_KNOWN}, or {', '.join(SYNONYMS)}")
    return name if match[3] or match[2] in ("i8", "u8") else f"{name}_le"


@dataclass(frozen=True)
class SampleFormat:
    """One SigMF data type, or one of i24 and i24in32: how bytes become numbers.

    Raises:
        RecordingError: no data type has this name. Names of more than 8 bits without _le or _be are taken as _le.
    """

    name: str

    def __post_init__(self):
        if not (_DATATYPE.fullmatch(self.name) or _ADDED.fullmatch(self.name)):
            raise RecordingError(f"datatype {self.name!r} is not known; use one of {_KNOWN}")

    @property
    def is_complex(self) -> bool:
        return self.name[0] == "c"

    @cached_property
    def component(self) -> np.dtype:
        """NumPy type of one I or Q value; three bytes without a type for i24."""
        match = _DATATYPE.fullmatch(self.name) or _ADDED.fullmatch(self.name)
        assert match is not None  # the constructor has checked it
        _, kind, endian = match.groups()
        if kind == "i24":
            return np.dtype("V3")
        return np.dtype(f"{'>' if endian == '_be' else '<'}{kind[0]}{int(kind[-2:].lstrip('ifu')) // 8}")

    @property
    def sigmf_name(self) -> str:
        """The name itself if SigMF has it; of 24 bits that of 32 bits, as which ``convert`` writes them."""
        match = _ADDED.fullmatch(self.name)
        return self.name if match is None else f"{match[1]}i32{match[3]}"

    @property
    def sample_bytes(self) -> int:
        return self.component.itemsize * (2 if self.is_complex else 1)

    def decode(self, raw: np.ndarray) -> np.ndarray:
        """Bytes (n * sample_bytes,) uint8 -> complex64 (n,), full scale = 1.0."""
        out = np.empty(len(raw) // self.sample_bytes, np.complex64)
        self.decode_into(raw, out)
        return out

    def decode_into(self, raw: np.ndarray, out: np.ndarray) -> None:
        """As ``decode``, into out (n,) complex64."""
        native = optional_native_module() if self.is_complex and self.component in _COMPILED else None
        if native is None:
            out[:] = self.decode_numpy(raw)
        else:
            native.to_full_scale(raw.view(self.component), out.view(np.float32))

    def decode_numpy(self, raw: np.ndarray) -> np.ndarray:
        """As ``decode``, bit for bit, without the compiled module."""
        component = self.component
        values: Any = raw.view(component)
        if component.kind == "V":
            values = self._widen(raw).astype(np.float32) * np.float32(2.0 ** -31)
        elif "in32" in self.name:
            values = values.astype(np.float32) * np.float32(2.0 ** -23)
        elif component.kind == "f":
            values = values.astype(np.float32)
        elif component.kind == "i":
            values = values.astype(np.float32) * np.float32(2.0 ** (1 - 8 * component.itemsize))
        else:
            middle = (2.0 ** (8 * component.itemsize) - 1) / 2
            wide = np.float32 if component.itemsize < 4 else np.float64
            values = ((values.astype(wide) - wide(middle)) / wide(middle)).astype(np.float32)
        return values.view(np.complex64) if self.is_complex else values.astype(np.complex64)

    def _widen(self, raw: np.ndarray) -> np.ndarray:
        """Integers of three bytes, times 256 -> int32."""
        big = self.name.endswith("_be")
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, :3 if big else 4][:, 0 if big else 1:] = raw.reshape(-1, 3)
        return wide.reshape(-1).view(">i4" if big else "<i4")
