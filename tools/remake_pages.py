#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the pages of docs/results again from the JSON beside them, after a change of words or of a table. It measures nothing.

    tools/remake_pages.py            # writes the pages
    tools/remake_pages.py --check    # writes nothing; exit status 1 if a page is not what its JSON gives

The words above the mark of a page stay. Pages without JSON (track, threat_types, before_after, classify_folds) are not touched.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from gnuradio.spectrumencoder.bench import report as bench
from gnuradio.spectrumencoder.bench.pictures import PICTURES as PICTURES_OF_BENCHES
from gnuradio.spectrumencoder.evaluate.ablate.run import whole_page
from gnuradio.spectrumencoder.evaluate.anomaly import false_events
from gnuradio.spectrumencoder.evaluate.anomaly import report as anomaly
from gnuradio.spectrumencoder.evaluate.compress import report as compress
from gnuradio.spectrumencoder.evaluate.field import labels as field_labels
from gnuradio.spectrumencoder.evaluate.field import report as field
from gnuradio.spectrumencoder.evaluate.inference import precision, speculative
from gnuradio.spectrumencoder.evaluate.signals import report as signals
from gnuradio.spectrumencoder.evaluate.signals import strongest
from gnuradio.spectrumencoder.measure.page import kept_words, page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("docs/results")
PICTURES = {"anomaly": "anomaly.png", "field": "field.png", "speculative": "speculative.png"}
MODULES = {"anomaly": anomaly, "compress": compress, "field": field, "field_labels": field_labels, "watch": false_events,
           "precision": precision, "signals": signals, "speculative": speculative, "strongest": strongest}


def pages() -> dict[Path, str]:
    """Path of each page, relative to the source tree -> what its JSON gives."""
    made = {}
    for name, module in MODULES.items():
        result, path = json.loads((RESULTS / f"{name}.json").read_text()), RESULTS / f"{name}.md"
        pictures = {"picture": PICTURES[name]} if name in PICTURES else {}
        made[path] = page(module.TITLE, module.report(result, result["command"], **pictures), kept_words(path))
    for file in sorted((RESULTS / "ablate").glob("*.json")):
        path = file.with_suffix(".md")
        made[path] = whole_page(json.loads(file.read_text()), path)
    results, path = bench.read_results(RESULTS), RESULTS / "performance.md"
    drawn = {name: f"performance_{name}.png" for name in PICTURES_OF_BENCHES}
    made[path] = bench.page(results, drawn, RESULTS, path)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page differs")
    check = parser.parse_args().check
    os.chdir(ROOT)
    differ = {path: text for path, text in pages().items() if path.read_text() != text}
    for path, text in differ.items():
        print(f"{path} {'is not what its JSON gives; run tools/remake_pages.py' if check else 'written'}")
        if not check:
            path.write_text(text)
    return 1 if check and differ else 0


if __name__ == "__main__":
    sys.exit(main())
