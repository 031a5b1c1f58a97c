# SPDX-License-Identifier: GPL-3.0-or-later
"""The GNU Radio blocks, each a thin wrapper of the mathematics of the same name. `session` and `bench` import gnuradio, too.

Ask the package for a block (``from gnuradio import spectrumencoder; spectrumencoder.spectrum_encoder(...)``): names are
resolved on first use, so that one block does not load what another needs.
"""
