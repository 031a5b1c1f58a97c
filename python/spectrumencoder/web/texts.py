# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON for a page: what is no number is null."""

from __future__ import annotations

import json
import math
from typing import Any


def dumps(content: Any) -> str:
    """JSON of plain values; NaN and the infinite as null, numbers of NumPy as numbers, others as their text."""
    return json.dumps(_plain(content), allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one) for one in value]
    return _plain(value.item()) if hasattr(value, "item") else _plain(value.tolist()) if hasattr(value, "tolist") else str(value)
