# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of `track`: tables of every part, the settings of the others, the command."""

from __future__ import annotations

from ...measure.page import QUICK, bullet, command_block, markdown_table, paragraph
from .figures import MEAN
from .run import OURS_IMM, PARTS, REFERENCE
from .single import FILTERED, NEXT

TITLE = "The tracker"
_AHEAD = ("1 s", "5 s", "10 s", "30 s")
_CALLED = {NEXT: "next report"}


def report(result: dict, command: str = "", pictures: dict[str, str] | None = None) -> str:
    """The figures as Markdown. pictures: name -> file beside the page."""
    out = [QUICK + "\n"] if result["quick"] else []
    out.append(paragraph(
        "Flights are samples of the PyPI wheel `traffic` 2.13 (MIT), which is downloaded, never imported and no part of this "
        "repository. Truth is a flight's path, cleaned of jumps, through one fixed smoother (RTS, constant velocity, q = 3 "
        "m2/s3, 40 m). Reports are that path with white noise of a stated sigma on each axis. All filters see the same "
        "reports, and were tuned on other flights (`evaluate/track/flights.py` has the split). Errors are horizontal, from a "
        "flight's eleventh report on. Brackets hold 95 % intervals, drawn over flights within each class.") + "\n")
    for part, make in (("filters", _filters), ("steps", _steps), ("covariance", _covariance), ("scenes", _scenes),
                       ("alarms", _alarms), ("emissions", _emissions)):
        if part in result:
            out += make(result[part])
            for name, caption in _CAPTIONS.get(part, {}).items():
                if pictures and name in pictures:
                    out += [f"![{caption}]({pictures[name]})\n", paragraph(f"*{caption}.*") + "\n"]
    commits = {result[part]["commit"][:12] or "an unknown commit" for part in PARTS if part in result}
    out += ["## Settings of the others\n", "\n".join(map(bullet, _settings(result["settings"]))) + "\n"]
    if command:
        out.append(command_block(command))
    out.append(f"Measured at {', '.join(sorted(commits))}, seed {result['seed']}.\n")
    return "\n".join(out)


_CAPTIONS = {
    "filters": {"classes": "RMSE over that of the tuned IMM by class of flight; bars are 95 % intervals",
                "cones": "A calibration flight: reports, track, predictions 1 to 30 s ahead with ellipses that should hold 95 %"},
    "scenes": {"scene": "Ten minutes of a scene: tracks over what flew; dots are the reports, false ones among them"},
    "alarms": {"alarm": "The spoofed flight: reports and the alarm"},
    "emissions": {"emissions": "Sightings and spectral tracks of three satellite passes, an oscillator and a hopper"},
}


def _filters(part: dict) -> list[str]:
    of = part["filters"]
    imm = of[REFERENCE]["rmse_m"]

    def errors(columns: tuple[str, ...]) -> str:
        rows = [[_bold(name), *(_metres(row["rmse_m"][c][MEAN]) for c in columns)] for name, row in of.items()]
        return markdown_table(["filter", *(_CALLED.get(c, c) for c in columns)], rows)

    ratios = [[_bold(name), *(_ratio(row["ratio"][what][MEAN]) for what in (FILTERED, "10 s")),
               f"{1e3 * row['seconds_per_update']:.2f}"] for name, row in of.items()]
    ours = {name: row for name, row in of.items() if name.startswith("spectrumencoder")}
    flown = [[c, counts["flights"], counts["points"], f"{imm[FILTERED][c][0]:.1f}", f"{imm['10 s'][c][0]:.0f}"]
             for c, counts in part["counts"].items()]
    by_class = [[c, *(_ratio(row["ratio"][what][c]) for row in ours.values() for what in (FILTERED, "10 s"))]
                for c in part["counts"]]
    return [f"## Filters, sigma {part['sigma_m']:g} m\n",
            "RMSE in metres, the mean over classes of flight: filtered, and ahead of the last report.\n",
            errors((FILTERED, NEXT, *_AHEAD[:1])), errors(_AHEAD[1:]),
            "The same over the tuned IMM, and the time of an update:\n",
            markdown_table(["filter", "filtered", "10 s ahead", "ms per update"], ratios),
            "Flights by class, and the RMSE of the tuned IMM in metres:\n",
            markdown_table(["class", "flights", "reports", "filtered", "10 s ahead"], flown),
            "Over the tuned IMM, by class:\n",
            markdown_table(["class", *(f"{_brief(name)}: {what}" for name in ours for what in ("filtered", "10 s"))], by_class)]


def _steps(part: dict) -> list[str]:
    classes = list(part["counts"])
    rows = [[_bold(name), *(_metres(row["rmse_m"][NEXT][c]) for c in classes)] for name, row in part["filters"].items()]
    means = [[_bold(name), _metres(row["rmse_m"][NEXT][MEAN]), _ratio(row["ratio"][NEXT][MEAN])]
             for name, row in part["filters"].items()]
    under = part["under_10_m"]
    flown = ", ".join(f"{_short(name)} {value:.1f}" for name, value in sorted(under["flights"].items(), key=lambda f: f[1])[:40])
    return [f"## One step ahead, sigma {part['sigma_m']:g} m, a report a second\n",
            "RMSE in metres of the prediction of the next report.\n",
            markdown_table(["filter", *classes], rows), markdown_table(["filter", "mean", "over the tuned IMM"], means),
            paragraph(f"Under 10 m on {len(under['flights'])} of {under['of']} flights{': ' if flown else ''}{flown}.") + "\n"]


def _covariance(part: dict) -> list[str]:
    classes = list(part["flights"])
    rows = [[_bold(name), *(f"{row['nees'][FILTERED][c]:.2f}" for c in classes)] for name, row in part["filters"].items()]
    means = [[_bold(name), f"{row['nees'][FILTERED][MEAN]:.2f}", f"{row['nees']['10 s'][MEAN]:.2f}",
              f"{row['state_nees'][MEAN]:.2f}"] for name, row in part["filters"].items()]
    return ["## Covariance\n", paragraph(
        f"Normalised estimation error squared per dimension (NEES), {part['seeds']} noise seeds, sigma {part['sigma_m']:g} m, "
        "the flight of median length of each class. 1 is right; above 1 the filter is too sure. The filtered position, by "
        "class:") + "\n",
        markdown_table(["filter", *classes], rows), "The mean over the classes:\n",
        markdown_table(["filter", "filtered", "10 s ahead", "position and velocity"], means)]


def _scenes(part: dict) -> list[str]:
    thousand = part["thousand"]
    rows = [[_bold(name), _metres(row["gospa_m"], 0), _ratio(row["ours_over_it"]), f"{row['rmse_m']:.1f}",
             f"{row['missed_per_scan']:.2f}", f"{row['false_per_scan']:.2f}", row["identity_switches"],
             f"{1e3 * row['seconds_per_scan']:.1f}"] for name, row in part["trackers"].items()]
    return ["## Many aircraft\n", paragraph(
        f"{part['scenes']} scenes of the Swiss collection, {part['scans']} scans 10 s apart, {part['aircraft'][0]} to "
        f"{part['aircraft'][1]} aircraft at a time, detection probability {part['detection']:g}, "
        f"{part['false_reports_per_scan']:.0f} false reports a scan, sigma {part['sigma_m']:g} m, heights left out. GOSPA has "
        "p = 2, c = 1 km, alpha = 2; its intervals are drawn over blocks of 20 scans.") + "\n",
        markdown_table(["tracker", "GOSPA, m", "ours over it", "RMSE of tracks, m", "missed a scan", "false a scan", "switches",
                        "ms a scan"], rows),
        paragraph(f"*switches*: identity switches. {thousand['targets']} targets without identities, a report each a second, one "
                  f"thread: {1e3 * thousand['seconds_per_scan']:.0f} ms a scan (longest {1e3 * thousand['longest_s']:.0f}), "
                  f"{thousand['tracks']} tracks.") + "\n"]


def _alarms(part: dict) -> list[str]:
    cases = []
    for one in part["spoofed"]:
        after = ", ".join(f"{j:.0f} s: " + ("not raised" if d is None else f"raised {d:.0f} s after")
                          for j, d in zip(one["jumps"], one["raised_after_s"], strict=True))
        cases.append(f"the spoofed flight ({one['hours']:.1f} h), jumps at {after or '-'}; {one['alarms']} alarms in all")
    others = part["others"]
    cases.append(f"other flights as they are: {others['alarms']} alarms in {others['hours']:.1f} h")
    jumps = [[f"{float(jump) / 1e3:g}", row["flights"], f"{100 * row['within_30_s']:.0f} %",
              "-" if row["median_delay_s"] is None else f"{row['median_delay_s']:.0f}"] for jump, row in part["injected"].items()]
    featured = [[name, f"{row['hours']:.1f}", row["alarms"], f"{row['alarms'] / max(row['hours'], 1e-9):.2f}",
                 ", ".join(f"{s:.1f}" for s in row["scores"][:12])] for name, row in part["featured"].items()]
    hours, alarms = (sum(row[key] for row in part["featured"].values()) for key in ("hours", "alarms"))
    featured.append(["all", f"{hours:.1f}", alarms, f"{alarms / max(hours, 1e-9):.2f}", ""])
    return ["## Impossible motion\n", "Reports as they came, not cleaned.\n", "\n".join(map(bullet, cases)) + "\n",
            "Jumps put into those flights; *found*: an alarm came within 30 s.\n",
            markdown_table(["jump, km", "flights", "found", "median delay, s"], jumps),
            "Unusual flights as they are:\n",
            markdown_table(["featured flight", "hours", "alarms", "an hour", "their scores"], featured)]


def _emissions(part: dict) -> list[str]:
    out = ["## Emissions\n", paragraph(
        "RMSE of the frequency in parts per billion of the carrier, filtered (0 s) and ahead. A sighting comes about once a "
        "second; its middle is off by 0.15 of the bandwidth.") + "\n"]
    for kind, row in part["kinds"].items():
        ahead = list(next(iter(row["rmse_ppb"].values())))
        out += [paragraph(f"**{kind}**, {row['emissions']} of them, {row['tracks_per_emission']:.2f} tracks each, "
                          f"{100 * row['followed']:.0f} % of sightings in a confirmed track, on which all are judged:") + "\n",
                markdown_table(["filter", *ahead], [[_bold(name), *(_metres(of[w], 0) for w in ahead)]
                                                    for name, of in row["rmse_ppb"].items()])]
        if "channels_found" in row:
            out.append(paragraph(f"Channels in the hop set: {_ratio(row['channels_found'])} of those used, "
                                 f"{row['channels_wrong']:.1f} wrong ones.") + "\n")
    return out


def _settings(settings: dict) -> list[str]:
    out = []
    for sigma, tuned in settings["baselines"].items():
        for name, values in tuned.items():
            out.append(f"{name}, sigma {sigma}: " + ", ".join(f"{k} {_plain(v)}" for k, v in values.items()))
    for kind, values in settings["stonesoup"].items():
        out.append(f"Stone Soup {kind}: " + ", ".join(f"{k} {_plain(v)}" for k, v in values.items()))
    return out


def _plain(value) -> str:
    return "/".join(_plain(v) for v in value) if isinstance(value, list | tuple) else str(value)


def _bold(name: str) -> str:
    return f"**{name}**" if name.startswith("spectrumencoder") and name != OURS_IMM else name


def _brief(name: str) -> str:
    return name.replace("spectrumencoder", "ours")


def _short(name: str) -> str:
    return ":".join(name.split("/")[-1].split(":")[:2])


def _metres(value: list[float] | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value[0]:.{digits}f} [{value[1]:.{digits}f}, {value[2]:.{digits}f}]"


def _ratio(value: list[float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"
