# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiments, one folder each: ``track``, ``anomaly``, ``ablate``, ``compress``, ``inference``."""
