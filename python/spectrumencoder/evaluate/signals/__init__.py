# SPDX-License-Identifier: GPL-3.0-or-later
"""Boxes of signals on scenes composed of recordings that the model has not seen.

``scenes`` makes frames with truth, ``boxes`` finds boxes in them, ``matching`` holds these against the truth, ``forest`` is a
baseline, ``figures`` counts, ``run`` and ``report`` make the page.
"""
