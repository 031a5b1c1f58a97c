# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: spectra to latents, reconstruction and class; its runtimes, weights and codec."""
