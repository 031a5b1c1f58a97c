#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decoded ADS-B PDUs through doma_tracker: tracks with predictions as JSON lines and GeoJSON.

The PDUs are those that gr-adsb's decoder publishes on `decoded`; here they come from three simulated aircraft, one of which
has its position forged for the last third. With gr-adsb in the flowgraph, connect instead:

    top.msg_connect(decoder, "decoded", tracker, "detections")

    adsb_to_tracks.py --seconds 120 --out .
"""

import argparse
import math
import threading
from pathlib import Path

import numpy as np
import pmt
from gnuradio import gr, spectrumencoder
from gnuradio.spectrumencoder.blocks.messages import to_pmt
from gnuradio.spectrumencoder.blocks.run_flowgraph import run_flowgraph

METRES_PER_DEGREE = 111_195.0


class simulated_decoder(gr.basic_block):
    """Publishes a PDU of each aircraft for every second, as fast as they are taken."""

    def __init__(self, seconds):
        gr.basic_block.__init__(self, "simulated_decoder", None, None)
        self.seconds, self.done = seconds, threading.Event()
        self.message_port_register_out(pmt.intern("decoded"))

    def start(self):
        threading.Thread(target=self.publish, daemon=True).start()
        return True

    def publish(self):
        rng = np.random.default_rng(1)
        for second in range(self.seconds):
            for number in range(3):
                self.message_port_pub(pmt.intern("decoded"), self.pdu(rng, number, second))
        self.done.set()

    def pdu(self, rng, number, second):
        """One aircraft flies straight, one in circles, and one straight until its position is forged."""
        east, north = 200.0 * second, 20e3 * number
        if number == 1:
            angle = math.radians(1.5) * second
            east, north = 6000 * math.sin(angle), north + 6000 * (1 - math.cos(angle))
        if number == 2 and second > 2 * self.seconds // 3:
            east += 30e3
        east, north = (east, north) + rng.normal(0, 30, 2)
        fields = {"callsign": f"TEST{number}", "icao": f"4000{number:02x}", "df": 17, "snr": 15.0, "num_msgs": second,
                  "timestamp": 1.7e9 + second, "latitude": 47.0 + north / METRES_PER_DEGREE,
                  "longitude": 8.0 + east / METRES_PER_DEGREE / math.cos(math.radians(47.0)), "altitude": 30_000.0,
                  "speed": 390.0, "heading": 90.0, "vertical_rate": 0.0}
        return pmt.cons(to_pmt(fields), pmt.init_u8vector(0, []))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=120, help="of flight")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of tracks.jsonl and tracks.geojson")
    arguments = parser.parse_args()

    top = gr.top_block()
    decoder = simulated_decoder(arguments.seconds)
    tracker = spectrumencoder.doma_tracker(position_error_m=30.0, file=str(arguments.out / "tracks.jsonl"),
                                           geojson=str(arguments.out / "tracks.geojson"))
    top.msg_connect(decoder, "decoded", tracker, "detections")
    wanted = 3 * arguments.seconds
    failure = run_flowgraph(top, [tracker], should_stop=lambda: decoder.done.is_set() and tracker.tracker.n_reports >= wanted)
    if failure:
        raise SystemExit(f"adsb_to_tracks: {failure}")
    counts = tracker.counters()
    print(f"{counts['reports']} reports, {counts['tracks']} tracks, {counts['track_anomalies']} with an impossible motion")


if __name__ == "__main__":
    main()
