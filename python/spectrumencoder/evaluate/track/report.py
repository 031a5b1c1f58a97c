# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of `track`: tables of every part, what was aimed at and what came, the command."""

from __future__ import annotations

from .figures import MEAN
from .run import OURS_IMM, PARTS, REFERENCE
from .single import FILTERED, NEXT

_AHEAD = ("1 s", "5 s", "10 s", "30 s")


def report(result: dict, command: str = "", pictures: dict[str, str] | None = None) -> str:
    """Markdown. `pictures`: file names by part."""
    out = ["<!-- SPDX-License-Identifier: GPL-3.0-or-later -->", "# The tracker", "",
           "Flights are samples of the PyPI wheel `traffic` 2.13 (MIT), which is downloaded, never imported and no part of this "
           "repository. Truth is a flight's path, cleaned of jumps, through one fixed smoother (RTS, constant velocity, q = 3 "
           "m2/s3, 40 m); reports are that path with white noise of a stated sigma on each axis. All filters see the same "
           "reports, and were tuned on other flights (`evaluate/track/flights.py` has the split). Horizontal errors, from a "
           "flight's eleventh report on. In brackets 95 % intervals, drawn over flights within each class.", ""]
    if result["quick"]:
        out += ["**A trial on few reports; its figures say nothing.**", ""]
    for part, make in (("filters", _filters), ("steps", _steps), ("covariance", _covariance), ("scenes", _scenes),
                       ("alarms", _alarms), ("emissions", _emissions)):
        if part in result:
            out += make(result[part])
            for name, caption in _CAPTIONS.get(part, {}).items():
                if pictures and name in pictures:
                    out += [f"![{caption}]({pictures[name]})", "", f"*{caption}.*", ""]
    commits = {result[part]["commit"][:12] or "an unknown commit" for part in PARTS if part in result}
    out += ["## Settings of the others", "", *_settings(result["settings"]), "",
            f"Measured at {', '.join(sorted(commits))}, seed {result['seed']}.", ""]
    return "\n".join(out + ([f"`{command}`", ""] if command else []))


_CAPTIONS = {
    "filters": {"classes": "RMSE over that of the tuned IMM by class of flight; bars are 95 % intervals",
                "cones": "A calibration flight: reports, the track, and predictions 1 to 30 s ahead with the ellipses that "
                         "should hold 95 %"},
    "scenes": {"scene": "Ten minutes of a scene: tracks over what flew; dots are the reports, false ones among them"},
    "alarms": {"alarm": "The spoofed flight: reports and the alarm"},
    "emissions": {"emissions": "Sightings and spectral tracks of three satellite passes, an oscillator and a hopper"},
}


def _filters(part: dict) -> list[str]:
    of, classes = part["filters"], list(part["counts"])
    out = [f"## Filters, sigma {part['sigma_m']:g} m", "",
           "RMSE in metres, the mean over classes of flight: filtered, and ahead of the last report.", "",
           "| filter | filtered | next report | " + " | ".join(_AHEAD) + " | filtered, over the tuned IMM | 10 s, over it | "
           "ms per update |", "|---|" + "---|" * 9]
    for name, row in of.items():
        cells = [_metres(row["rmse_m"][what][MEAN]) for what in (FILTERED, NEXT, *_AHEAD)]
        cells += [_ratio(row["ratio"][what][MEAN]) for what in (FILTERED, "10 s")]
        out.append(f"| {_bold(name)} | " + " | ".join(cells) + f" | {1e3 * row['seconds_per_update']:.2f} |")
    out += ["", "Over the tuned IMM, by class:", "",
            "| class | flights | reports | the IMM: filtered, m | 10 s, m | " + " | ".join(
                f"{name}: filtered | 10 s" for name in of if name.startswith("spectrumencoder")) + " |",
            "|---|" + "---|" * (4 + 2 * sum(n.startswith("spectrumencoder") for n in of))]
    for c in classes:
        imm = of[REFERENCE]["rmse_m"]
        cells = [str(part["counts"][c]["flights"]), str(part["counts"][c]["points"]), f"{imm[FILTERED][c][0]:.1f}",
                 f"{imm['10 s'][c][0]:.0f}"]
        for name, row in of.items():
            if name.startswith("spectrumencoder"):
                cells += [_ratio(row["ratio"][what][c]) for what in (FILTERED, "10 s")]
        out.append(f"| {c} | " + " | ".join(cells) + " |")
    return [*out, ""]


def _steps(part: dict) -> list[str]:
    of = part["filters"]
    classes = list(part["counts"])
    out = [f"## One step ahead, sigma {part['sigma_m']:g} m, a report a second", "",
           "RMSE in metres of the prediction of the next report.", "",
           "| filter | " + " | ".join(classes) + " | mean | over the tuned IMM |", "|---|" + "---|" * (len(classes) + 2)]
    for name, row in of.items():
        out.append(f"| {_bold(name)} | " + " | ".join(_metres(row["rmse_m"][NEXT][c]) for c in [*classes, MEAN])
                   + f" | {_ratio(row['ratio'][NEXT][MEAN])} |")
    under = part["under_10_m"]
    flown = ", ".join(f"{_short(name)} {value:.1f}" for name, value in sorted(under["flights"].items(), key=lambda f: f[1])[:40])
    return [*out, "", f"Under 10 m on {len(under['flights'])} of {under['of']} flights" + (f": {flown}." if flown else "."), ""]


def _covariance(part: dict) -> list[str]:
    of = part["filters"]
    classes = list(part["flights"])
    out = ["## Covariance", "", f"Normalised estimation error squared per dimension, {part['seeds']} noise seeds, sigma "
           f"{part['sigma_m']:g} m, of each class the flight of median length: of the filtered position, and in the last two "
           "columns of the position 10 s ahead and of position and velocity together. 1 is right, more is too sure.", "",
           "| filter | " + " | ".join(classes) + " | mean | 10 s ahead | with velocity |", "|---|" + "---|" * (len(classes) + 3)]
    for name, row in of.items():
        cells = [f"{row['nees'][FILTERED][c]:.2f}" for c in [*classes, MEAN]]
        out.append(f"| {_bold(name)} | " + " | ".join(cells)
                   + f" | {row['nees']['10 s'][MEAN]:.2f} | {row['state_nees'][MEAN]:.2f} |")
    return [*out, ""]


def _scenes(part: dict) -> list[str]:
    thousand = part["thousand"]
    out = ["## Many aircraft", "",
           f"{part['scenes']} scenes of the Swiss collection, {part['scans']} scans 10 s apart, {part['aircraft'][0]} to "
           f"{part['aircraft'][1]} aircraft at a time, detection probability {part['detection']:g}, "
           f"{part['false_reports_per_scan']:.0f} false reports a scan, sigma {part['sigma_m']:g} m, heights left out. GOSPA "
           "with p = 2, c = 1 km, alpha = 2; intervals drawn over blocks of 20 scans.", "",
           "| tracker | GOSPA, m | ours over it | RMSE of tracks, m | missed a scan | false a scan | identity switches | "
           "ms a scan |", "|---|" + "---|" * 7]
    for name, row in part["trackers"].items():
        out.append(f"| {_bold(name)} | {_metres(row['gospa_m'], 0)} | {_ratio(row['ours_over_it'])} | {row['rmse_m']:.1f} | "
                   f"{row['missed_per_scan']:.2f} | {row['false_per_scan']:.2f} | {row['identity_switches']} | "
                   f"{1e3 * row['seconds_per_scan']:.1f} |")
    return [*out, "", f"{thousand['targets']} targets without identities, a report each a second, one thread: "
            f"{1e3 * thousand['seconds_per_scan']:.0f} ms a scan (longest {1e3 * thousand['longest_s']:.0f}), "
            f"{thousand['tracks']} tracks.", ""]


def _alarms(part: dict) -> list[str]:
    out = ["## Impossible motion", "", "Reports as they came, not cleaned.", ""]
    for one in part["spoofed"]:
        after = ", ".join(f"{j:.0f} s: " + ("not raised" if d is None else f"raised {d:.0f} s after")
                          for j, d in zip(one["jumps"], one["raised_after_s"], strict=True))
        out.append(f"- the spoofed flight ({one['hours']:.1f} h), jumps at {after or '-'}; {one['alarms']} alarms in all")
    others = part["others"]
    out.append(f"- other flights as they are: {others['alarms']} alarms in {others['hours']:.1f} h")
    out += ["", "Jumps put into those flights, at which an alarm came within 30 s:", "",
            "| jump, km | flights | found | median delay, s |", "|---|---|---|---|"]
    for jump, row in part["injected"].items():
        delay = "-" if row["median_delay_s"] is None else f"{row['median_delay_s']:.0f}"
        out.append(f"| {float(jump) / 1e3:g} | {row['flights']} | {100 * row['within_30_s']:.0f} % | {delay} |")
    out += ["", "| featured flight | hours | alarms | an hour | their scores |", "|---|---|---|---|---|"]
    for name, row in part["featured"].items():
        scores = ", ".join(f"{s:.1f}" for s in row["scores"][:12])
        an_hour = row["alarms"] / max(row["hours"], 1e-9)
        out.append(f"| {name} | {row['hours']:.1f} | {row['alarms']} | {an_hour:.2f} | {scores} |")
    hours, alarms = (sum(row[key] for row in part["featured"].values()) for key in ("hours", "alarms"))
    return [*out, f"| all | {hours:.1f} | {alarms} | {alarms / max(hours, 1e-9):.2f} | |", ""]


def _emissions(part: dict) -> list[str]:
    out = ["## Emissions", "", "RMSE of the frequency in parts per billion of the carrier, filtered (0 s) and ahead. A sighting "
           "about a second; its middle is off by 0.15 of the bandwidth.", ""]
    for kind, row in part["kinds"].items():
        whats = list(next(iter(row["rmse_ppb"].values())))
        out += [f"**{kind}**, {row['emissions']} of them, {row['tracks_per_emission']:.2f} tracks each, "
                f"{100 * row['followed']:.0f} % of sightings in a confirmed track, on which all are judged", "",
                "| filter | " + " | ".join(whats) + " |", "|---|" + "---|" * len(whats)]
        out += [f"| {_bold(name)} | " + " | ".join(_metres(of[w], 0) for w in whats) + " |"
                for name, of in row["rmse_ppb"].items()]
        if "channels_found" in row:
            out += ["", f"Channels in the hop set: {_ratio(row['channels_found'])} of those used, {row['channels_wrong']:.1f} "
                    "wrong ones."]
        out.append("")
    return out


def _settings(settings: dict) -> list[str]:
    out = []
    for sigma, tuned in settings["baselines"].items():
        for name, values in tuned.items():
            out.append(f"- {name}, sigma {sigma}: " + ", ".join(f"{k} {_plain(v)}" for k, v in values.items()))
    for kind, values in settings["stonesoup"].items():
        out.append(f"- Stone Soup {kind}: " + ", ".join(f"{k} {_plain(v)}" for k, v in values.items()))
    return out


def _plain(value) -> str:
    return "/".join(_plain(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _bold(name: str) -> str:
    return f"**{name}**" if name.startswith("spectrumencoder") and name != OURS_IMM else name


def _short(name: str) -> str:
    return ":".join(name.split("/")[-1].split(":")[:2])


def _metres(value: list[float] | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value[0]:.{digits}f} [{value[1]:.{digits}f}, {value[2]:.{digits}f}]"


def _ratio(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
