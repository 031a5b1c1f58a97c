# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes against error and accuracy: the codec of encoded spectra beside classical ones."""
