# SPDX-License-Identifier: GPL-3.0-or-later
"""Detections and position fixes become tracks that predict: the mathematics. The block is ``blocks.doma_tracker``.

A dict comes in at ``doma``. One with a position becomes a fix (``fixes``, ``geo``) and goes to ``spatial``, which lives on
``track_bank``, ``associate`` and ``reorder``. One with a frequency alone becomes a signal (``signals``) and goes to ``spectral``.
``describe`` makes dicts of the tracks again.
"""
