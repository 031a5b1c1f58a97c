# SPDX-License-Identifier: GPL-3.0-or-later
"""Scenes, waveforms, receivers and anomalies, as IQ or as spectra."""
