# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames in, events out. NumPy only, no GNU Radio; the block is ``blocks.anomaly_detector``.

The way of a frame, by file::

    detector       the door: frames in order -> results; settings; keeps the count
    frame_batch    inputs of the channels, with floor_track (the noise floor's slow track)
    scorer         levels -> boxes -> channels -> fused score -> p-value; drift; thresholds
      table_choice   the table for a tuning, a band and a setting of the encoder
      table          a conformal table: p-values, thresholds, the model file's form; tail: scores rarer than the table
      channels       the list of channels: their values and their regions
        box_search     boxes of bins and frames on a learned band, over band_statistics (each bin's usual behaviour)
        windows        moving sums of the model's residual
      band_drift, rolling   slow changes of the band, and of its scores
    judge          the judgement of a batch; for a flagged frame: regions (bins that speak for its score)
    events         regions -> events in time, with threats (threat level) and threat_types (possible types)
    notices        lines for the user

    calibrate      normal frames -> table; learn_band: recordings -> tables
"""
