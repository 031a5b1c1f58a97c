# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames in, emitters and alerts out. NumPy and C++ only, no GNU Radio; the block is ``blocks.anomaly_detector``.

The way of a frame, by file::

    watcher        the door: frames in order -> results; settings; blocks of 32 frames
      tuning         what is kept of one tuning: its background, rows of the last frames, the block that is being filled
        background     mean power of each bin, gain of each frame, rounding
        boxes          boxes of bins and frames that hold more power than noise may, by the law of noise (law)
      regions        the bins of a frame that those boxes point at
      bursts         regions -> bursts in time; which may be side effects of a stronger signal
      burst_reports  what a burst calls for: an alert, and what the registry learns of it (signs: a burst as both take it)
        hops           emitters that are one, since their bursts follow one another on a set of frequencies
        verdict        a burst: one of the band's own, a side effect, a crowd, or new
        registry       the emitters of a band, and what each may show; emitter: one of them, and its next burst
      alerts         one event for an alert: open, update, close
    at the end of a block
      activity       the places of the band's own emitters: when they were on, who has been silent for too long
        waveform     how the transmissions of an emitter look, and whether the last ones look otherwise
      steady         carriers that are a part of the background: gone, back, louder
      receiver       steps of the gain, raised floors
      block_reports  what these call for: alerts, and which are over

    tunings        the tunings, and how far each is learned
    band_file      what is known of a band, in a file; band_keeper: the file of a running detector
    commands       the operator's decisions on a registry; decisions: those on a running detector
    on_air         what stands out of the noise while the band is learned
    learn_recordings   whole recordings -> a band file; listing: emitters and alerts as rows and lines
"""
