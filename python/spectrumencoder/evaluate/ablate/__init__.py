# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the encoder compared, one experiment per module, from the configurations in ``recipes/ablate/``."""
