# SPDX-License-Identifier: GPL-3.0-or-later
"""The samples around the events of a recording: noted while it runs, and cut out of the file when it has ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gnuradio import gr

from .. import keys
from ..blocks.messages import MalformedMessage, metadata
from ..blocks.safe_block import SafeBlock, handler
from ..blocks.snippet_file import write_snippet

if TYPE_CHECKING:
    from ..recordings import Recording

PRE_S = POST_S = 0.05
MAX_S = 1.0


class event_samples(SafeBlock, gr.basic_block):
    """Notes the first transmission of each alert, and ``write`` writes its samples as ``snippet_recorder`` does for a radio.

    Message input: `events`. Attribute: events: event_id -> the latest dict about its first transmission.
    """

    def __init__(self):
        gr.basic_block.__init__(self, "event_samples", None, None)
        self.init_safe_block()
        self.events: dict[str, dict] = {}
        self.add_input_port(keys.EVENTS, self.handle_events)

    @handler
    def handle_events(self, message):
        event = metadata(message)
        try:
            identity, start = str(event[keys.EVENT_ID]), int(event[keys.SAMPLE_START])
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedMessage(f"an event without event_id or sample_start ({error})") from error
        first = self.events.get(identity)
        if first is None:
            if event.get(keys.STATE) == "open" and event.get(keys.ALERT) != "gone":  # one that is silent has no samples
                self.events[identity] = event
        elif not (event.get(keys.ALERT) and start > first[keys.SAMPLE_START] + first[keys.SAMPLE_COUNT]):
            self.events[identity] = event

    def write(self, recording: Recording, folder: Path, max_bytes: float) -> int:
        """Writes a snippet for each event, none across a capture; returns their number.

        Raises:
            OSError: the folder cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        rate, borders = recording.samp_rate, [capture.sample_start for capture in recording.captures]
        for event in self.events.values():
            first, count = event[keys.SAMPLE_START], min(event[keys.SAMPLE_COUNT], round(MAX_S * rate))
            capture = recording.captures[max(sum(border <= first for border in borders) - 1, 0)]
            start = max(first - round(PRE_S * rate), capture.sample_start)
            stop = min([first + count + round(POST_S * rate), recording.n_samples, *(b for b in borders if b > first)])
            write_snippet(folder, max_bytes, event, start, recording.read(start, stop - start), rate, capture.frequency_hz)
        return len(self.events)
