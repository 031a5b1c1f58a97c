# SPDX-License-Identifier: GPL-3.0-or-later
"""The GNU Radio stages, each a thin wrapper of the mathematics of the same name; the only folder that imports gnuradio.

Ask the package for a block (``from gnuradio import spectrumencoder; spectrumencoder.spectrum_encoder(...)``): names are
resolved on first use, so that one block does not load what another needs.
"""
