# SPDX-License-Identifier: GPL-3.0-or-later
"""What a GPU must reach, judged from the parts' results. A part that did not get so far leaves its goals open."""

from __future__ import annotations

ONE_MS, FAST_PER_S, BASE_PER_S, SPEED_UP, STREAM_PER_S, RECIPE_MINUTES = 0.25, 1e6, 3e5, 20.0, 60_000.0, 10.0


def judge(parts: dict[str, dict], on_gpu: bool) -> list[dict]:
    """Rows of goal, target, value and met. `met` is None without a value, and on a CPU for goals of speed."""
    of = {name: row.get("result", {}) for name, row in parts.items()}
    minutes = of.get("training", {}).get("speed", {}).get("recipe_minutes")
    return [_yes("parity holds", of.get("parity", {}).get("holds")),
            _yes("frames do not depend on their batch", _batches(of)),
            _yes("a flash kernel ran", _all(of, "attention", "rows", "flash_ran")),
            _yes("first steps of training as on the CPU", _training(of)),
            _at_most("ms of one spectrum, p50, base, graph", ONE_MS, _one(of), on_gpu),
            _at_least("spectra/s, fast", FAST_PER_S, _best(of, "fast"), on_gpu),
            _at_least("spectra/s, base", BASE_PER_S, _best(of, "base"), on_gpu),
            _at_least("times the paper's network, base", SPEED_UP, _speed_up(of), on_gpu),
            _yes(f"streaming holds {STREAM_PER_S:g} frames/s", _stream(of), on_gpu),
            _at_most("minutes of the recipe of base", RECIPE_MINUTES, minutes, on_gpu)]


def _yes(goal: str, value: bool | None, judged: bool = True) -> dict:
    return {"goal": goal, "target": True, "value": value, "met": value if judged else None}


def _at_most(goal: str, limit: float, value: float | None, judged: bool) -> dict:
    met = None if value is None or not judged else value <= limit
    return {"goal": goal, "target": f"<= {limit:g}", "value": value, "met": met}


def _at_least(goal: str, limit: float, value: float | None, judged: bool) -> dict:
    met = None if value is None or not judged else value >= limit
    return {"goal": goal, "target": f">= {limit:g}", "value": value, "met": met}


def _all(of: dict, part: str, key: str, field: str) -> bool | None:
    rows = of.get(part, {}).get(key, [])
    return all(row[field] for row in rows) if rows else None


def _batches(of: dict) -> bool | None:
    rows = of.get("parity", {}).get("engine", [])
    return all(row["batch"]["same_bits"] for row in rows) if rows else None


def _training(of: dict) -> bool | None:
    close = of.get("training", {}).get("close")
    return all(row["within"] for row in close.values()) if close else None


def _one(of: dict) -> float | None:
    return min((row["graph"]["p50_ms"] for row in of.get("speed", {}).get("one", []) if row["model"] == "base"), default=None)


def _best(of: dict, model: str) -> float | None:
    rows = of.get("speed", {}).get("batch", [])
    return max((row["per_s"] for row in rows if row["model"] == model and "per_s" in row), default=None)


def _speed_up(of: dict) -> float | None:
    """The smallest over the batches from 256 on, each with its better dtype."""
    best: dict[int, float] = {}
    for row in of.get("speed", {}).get("speed_up", []):
        if row["model"] == "base" and row["batch"] >= 256:
            best[row["batch"]] = max(row["times"], best.get(row["batch"], 0.0))
    return min(best.values(), default=None)


def _stream(of: dict) -> bool | None:
    """Whether any padding holds the rate with `base`."""
    rows = [r for r in of.get("streaming", {}).get("rows", []) if r["model"] == "base" and r["rate"] == STREAM_PER_S]
    return any(row["held"] for row in rows) if rows else None
