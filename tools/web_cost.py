#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the page costs a live run: processor time of its parts, in per cent of a core, with four pages open.

The test radio plays at 2.4 MS/s by the clock. Four clients in a process of their own take every row, as browsers do.

    .venv/bin/python tools/web_cost.py [--seconds 30] [--viewers 4]
"""

from __future__ import annotations

import argparse
import multiprocessing
import threading
import time
import urllib.request


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--viewers", type=int, default=4)
    options = parser.parse_args()
    plain = cpu_of_a_run([], options.seconds)
    print(f"run alone: {plain:.1f} % of a core, as fast as it is read")
    from gnuradio.spectrumencoder.session.listening import SIGNALS, Listener

    class Wanting(Listener):
        needs = frozenset((SIGNALS,))
    listed = cpu_of_a_run([Wanting()], options.seconds)
    print(f"list of signals: {listed - plain:.1f} %")
    print_parts(options.seconds, options.viewers)


def play(listeners, seconds: float, pace: int) -> float:
    """Processor time of a run, s."""
    from gnuradio.spectrumencoder import session
    from gnuradio.spectrumencoder.session.listening import listen_parts
    from gnuradio.spectrumencoder.session.radio import run_radio
    from gnuradio.spectrumencoder.session.stats import RunStats
    began = time.process_time()
    with RunStats(None, "") as stats:
        run_radio(session.RadioOptions(f"driver=spectrumtest,pace={pace}", 434e6, 2.4e6, duration=seconds),
                  session.RunSettings(learn_s=10.0), stats=stats, parts=listen_parts(listeners))
    return time.process_time() - began


def cpu_of_a_run(listeners, seconds: float) -> float:
    """Per cent of a core for a second of signal: of a run less a short one, so that its start does not count."""
    return 100.0 * (play(listeners, seconds + 5.0, 0) - play(listeners, 5.0, 0)) / seconds


def print_parts(seconds: float, viewers: int):
    """Runs with a page and its viewers; prints the time of each part."""
    from gnuradio.spectrumencoder.web.listener import WebListener
    spent = {"rows and news, on the run's thread": 0.0}

    class Timed(WebListener):
        def take(self, news):
            began = time.thread_time()
            super().take(news)
            spent["rows and news, on the run's thread"] += time.thread_time() - began

        def end(self, notes):
            for thread in threading.enumerate():
                name = {"web": "the server's thread", "asyncio": "its questions to the run"}.get(thread.name.partition("_")[0])
                if name:
                    cpu = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
                    spent[name] = spent.get(name, 0.0) + cpu
            super().end(notes)

    listener = Timed("127.0.0.1:0")
    clients = multiprocessing.get_context("spawn").Process(target=follow, args=(listener.server.port, viewers, seconds + 60.0))
    clients.start()
    play([listener], seconds, 1)
    listener.close()
    clients.terminate()
    clients.join()
    for name, cpu in spent.items():
        print(f"{name}: {100.0 * cpu / seconds:.2f} %")
    print(f"together: {100.0 * sum(spent.values()) / seconds:.2f} % of a core, with {listener.max_viewers_seen} pages, "
          f"{listener.lost_rows} rows lost")


def follow(port: int, viewers: int, limit_s: float):
    """A process with clients that take all rows."""
    import asyncio

    import websockets
    origin = f"http://127.0.0.1:{port}"
    cookie = urllib.request.urlopen(origin).headers["set-cookie"].split(";")[0]

    async def one():
        async with websockets.connect(f"ws://127.0.0.1:{port}/api/feeds/run/live", origin=origin, max_size=None, compression=None,
                                      additional_headers={"Cookie": cookie}, proxy=None) as stream:
            async for _ in stream:
                pass

    async def all_of_them():
        await asyncio.wait_for(asyncio.gather(*(one() for _ in range(viewers)), return_exceptions=True), limit_s)
    asyncio.run(all_of_them())


if __name__ == "__main__":
    main()
