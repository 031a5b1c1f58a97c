# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules: what a file may say, which events pass, when messages go."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from gnuradio.spectrumencoder.push import addresses, message
from gnuradio.spectrumencoder.push.rules import RULES, EventFilter, Quiet, Rules, Schedule
from gnuradio.spectrumencoder.push.rules_file import RulesError, targets
from push_servers import event

FULL = """
[rules]
kinds = ["new", "gone"]
min_snr_db = 6
frequencies_hz = [[433.05e6, 434.79e6]]
time_zone = "Europe/Berlin"

[[target]]
name = "phone"
url = "env:PHONE"
min_snr_db = 20
min_threat_level = "high"
quiet_hours = "22:00-07:00"
max_per_hour = 4
digest_minutes = 0.5
digest_above = 3
link = "https://attic.example/"

[[target]]
name = "house"
url = "mqtts://sdr@broker:8884/attic/sdr"
password_file = "password"
discovery = "ha"
states = ["open", "close"]
"""


def test_a_file_holds_general_rules_and_targets_with_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PHONE", "ntfys://ntfy.example/secret-topic")
    (tmp_path / "password").write_text("geheim\nanother line\n")
    file = tmp_path / "push.toml"
    file.write_text(FULL)
    extra, phone, house = targets(notify=["json://127.0.0.1/x"], rules_file=file)
    assert extra.rules.kinds == ("new", "gone") and extra.rules.min_snr_db == 6.0 and extra.rules.states == ("open",)
    assert phone.url == "ntfys://ntfy.example/secret-topic" and "secret" not in repr(phone)
    assert phone.rules.min_snr_db == 20.0 and phone.rules.min_threat_level == "HIGH" and phone.rules.max_per_hour == 4
    assert str(phone.rules.time_zone) == "Europe/Berlin" and phone.rules.frequencies_hz == ((433.05e6, 434.79e6),)
    assert house.password == "geheim" and house.discovery == "ha" and house.rules.states == ("open", "close")
    assert (house.broker.host, house.broker.port, house.broker.tls, house.broker.user, house.broker.prefix) == (
        "broker", 8884, True, "sdr", "attic/sdr")


URL = 'url = "json://localhost"'


@pytest.mark.parametrize("text, words", [
    ("[rules", "is no TOML file"), ("rule = 1", "rule is unknown; it may hold [rules] and [[target]]"),
    ("rules = 1", "rules is no table"),
    ("[target]\nurl='x'", "target is no list of tables"),
    ("[rules]\nmin_snr = 3", "[rules]: min_snr is unknown; rules are kinds, states"),
    ("[rules]\nkinds = ['nwe']", "[rules]: kinds = ['nwe'] is not a list of new, gone"),
    ("[rules]\nkinds = []", "kinds = [] is not"),
    ("[rules]\nmin_snr_db = '6'", "min_snr_db = '6' is not a number of dB from -50 to 150"),
    ("[rules]\nmin_snr_db = nan", "min_snr_db = nan is not"),
    ("[rules]\nmax_per_hour = true", "max_per_hour = True is not a whole number"),
    ("[rules]\nmax_per_hour = 0", "max_per_hour = 0 is not a whole number from 1 to 3600"),
    ("[rules]\nmin_threat_level = 'urgent'", "'urgent' is none of LOW, MEDIUM, HIGH"),
    ("[rules]\nfrequencies_hz = [433e6, 434e6]", "is not a list of [low, high] in Hz"),
    ("[rules]\nfrequencies_hz = [[434e6, 433e6]]", "is not a list of [low, high] in Hz"),
    ("[rules]\nquiet_hours = '22-7'", "quiet_hours = '22-7' is not BEGIN-END, such as \"22:00-07:00\""),
    ("[rules]\nquiet_hours = '22:00-22:00'", "is not BEGIN-END"), ("[rules]\nquiet_hours = '25:00-07:00'", "is not BEGIN-END"),
    ("[rules]\ntime_zone = 'Europe/Berlinn'", "time_zone = 'Europe/Berlinn' is no time zone"),
    ("[rules]\ntime_zone = 3", "is no time zone"),
    ("[rules]\nlink = 'attic'", "link = 'attic' is no http:// or https:// address"),
    ("[rules]\ndigest_minutes = -1", "digest_minutes = -1 is not a number of minutes"),
    ("", "holds no [[target]], and neither --mqtt nor --notify is given"),
    ("[[target]]\nname = 'x'", "[[target]] 1 (x): it has no url"),
    ("[[target]]\nurl = 3", "[[target]] 1: url is no text in quotes"),
    ("[[target]]\nurl = 'env:NO_SUCH_NAME'", "url: the variable NO_SUCH_NAME is not set"),
    ("[[target]]\nurl = 'file:/nowhere/x'", "url: /nowhere/x cannot be read: No such file or directory"),
    ("[[target]]\nurl = 'nonsense://sEcReT'", "url: apprise knows no address of this form (nonsense://...)"),
    ("[[target]]\nurl = 'mqtt://u:sEcReT@host'", "holds a password, which every user of this machine could read"),
    ("[[target]]\nurl = 'mqtt://host/a/#'", "the prefix 'a' cannot begin a topic: no #"),
    ("[[target]]\nurl = 'mqtt://'", "names no host"),
    ("[[target]]\nurl = 'mqtt://host:99999'", "the address of the broker cannot be read"),
    ("[[target]]\nurl = 'mqtt://h'\nmax_per_hour = 3", "max_per_hour is for people"),
    ("[[target]]\nurl = 'mqtt://h'\ndiscovery = 'a/#'", "discovery = 'a/#' cannot begin a topic"),
    ("[[target]]\nurl = 'mqtts://h'\nca_file = 'none.pem'", "ca_file = 'none.pem' is no file"),
    (f"[[target]]\n{URL}\npassword_file = 'x'", "password_file is for mqtt:// and mqtts://"),
    (f"[[target]]\n{URL}\n[[target]]\n{URL}", "two targets are json "),
])
def test_what_is_wrong_in_a_file_is_one_line_with_file_key_and_value(tmp_path, text, words):
    file = tmp_path / "push.toml"
    file.write_text(text)
    with pytest.raises(RulesError) as error:
        targets(rules_file=file)
    line = str(error.value)
    assert words in line and "\n" not in line and "sEcReT" not in line
    assert str(file) in line or "two targets" in line


def test_options_that_are_wrong_are_one_line_without_secrets(tmp_path):
    for options, words in ((("mqtt://u:sEcReT@host",), "--mqtt: the address of the broker holds a password"),
                           (("http://sEcReT",), "--mqtt: the address of the broker begins with 'http://'"),
                           (("localhost",), "--mqtt: the address of the broker does not begin with mqtt:// or mqtts://; write"),
                           (("", ["sEcReT"]), "--notify: apprise knows no address of this form; see"),
                           (("", ["mqtt://h"]), "--notify: is for services of apprise"),
                           (("", ["json://x"], tmp_path / "none.toml"), "none.toml cannot be read: No such file"),
                           (("", ["json://x"], None, tmp_path / "p"), "is for --mqtt, which is not given"),
                           (("mqtt://h", [], None, tmp_path / "p"), "--mqtt: ")):
        with pytest.raises(RulesError, match=words) as error:
            targets(*options)
        assert "sEcReT" not in str(error.value)


def test_the_default_prefix_names_the_machine_and_an_address_is_kept_whole():
    broker = addresses.broker("mqtt://[::1]")
    assert broker.prefix == f"spectrumencoder/{addresses.site()}" and str(broker).startswith("mqtt://[::1]:1883/spectrumencoder/")
    assert not broker.is_open and addresses.broker("mqtt://10.0.0.2").is_open and not addresses.broker("mqtts://10.0.0.2").is_open


@pytest.mark.parametrize("rules, passing", [
    (Rules(), [0, 1, 2, 3, 4, 5]), (Rules(kinds=("gone",)), [1]), (Rules(min_snr_db=20), [2]), (Rules(min_power_dbfs=-20), [3]),
    (Rules(min_threat_level="MEDIUM"), [4]), (Rules(frequencies_hz=((868e6, 869e6),)), [5]), (Rules(states=("close",)), []),
    (Rules().of_people(), [0, 1, 2, 3, 4, 5])])
def test_each_rule_lets_the_right_events_through(rules, passing):
    events = [event(0), event(1, alert="gone"), event(2, snr_db=30.0), event(3, power_dbfs=-10.0), event(4, threat_level="HIGH"),
              event(5, freq_center_hz=867.997e6, bandwidth_hz=10e3)]
    one = EventFilter(rules)
    assert [number for number, event in enumerate(events) if one.passes(event)] == passing


def test_an_alert_that_becomes_strong_later_opens_then_and_one_that_never_does_has_no_end():
    people, machine = (EventFilter(Rules(min_snr_db=20, states=states)) for states in (("open", "close"), ()))
    story = [event(1, snr_db=10), event(1, "update", snr_db=25), event(1, "update", snr_db=26), event(1, "close", snr_db=26),
             event(2, snr_db=10), event(2, "close", snr_db=10)]
    assert [people.passes(one) for one in story] == [False, True, False, True, False, False]
    assert [machine.passes(one) for one in story] == [False, True, True, True, False, False]
    people.begin()
    assert people.passes(event(1, snr_db=25))


def at(text, zone="Europe/Berlin"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize("now, hours", [("2026-11-28 21:59", 0), ("2026-11-28 22:00", 9), ("2026-11-29 03:00", 4),
                                        ("2026-11-29 07:00", 0),
                                        ("2027-03-27 22:00", 8), ("2026-10-24 22:00", 10)])
def test_quiet_hours_follow_the_clock_of_their_zone_through_both_changes_of_the_year(now, hours):
    schedule = Schedule(Rules(quiet_hours=Quiet(*(datetime.strptime(word, "%H:%M").time() for word in ("22:00", "07:00"))),
                              time_zone=ZoneInfo("Europe/Berlin")))
    assert schedule.wait_s(at(now), at(now)) == hours * 3600.0


def test_a_message_more_than_the_hour_allows_waits_and_goes_together_with_the_others():
    schedule = Schedule(Rules(max_per_hour=2, digest_above=0))
    for now_s in (0.0, 10.0):
        assert schedule.wait_s(now_s, now_s) == 0.0 and schedule.take(now_s, 1) == 1
        schedule.sent(now_s)
    assert schedule.wait_s(20.0, 20.0) == 3580.0 and schedule.wait_s(3600.0, 20.0) == 0.0
    assert schedule.take(3600.0, 7) == 7  # one message is left in this hour
    schedule.sent(3600.0)
    assert schedule.wait_s(3601.0, 3601.0) == 9.0


def test_a_digest_counts_from_its_oldest_event_and_goes_early_at_the_end():
    schedule = Schedule(Rules(digest_minutes=10))
    assert schedule.wait_s(1060.0, 1000.0) == 540.0 and schedule.wait_s(1600.0, 1000.0) == 0.0 and schedule.take(1600.0, 3) == 3
    assert schedule.wait_s(1060.0, 1000.0, ending=True) == 0.0
    assert schedule.wait_s(0.0, 1e9) == 600.0  # the clock was set back


def test_a_line_reads_like_one():
    heard = event(3, timestamp=at("2026-11-28 12:03:17", "UTC"), freq_center_hz=433.92e6, emitter_id=7)
    soon, late = (heard["timestamp"] + seconds for seconds in (5.0, 86_400.0))
    assert message.line(heard, soon) == "New at 433.9200 MHz, LoRa, 14 dB, 12:03:17 UTC (emitter 7)"
    assert message.line(heard | {"state": "close"}, late, ZoneInfo("Europe/Berlin")) == (
        "Ended: new at 433.9200 MHz, LoRa, 14 dB, 28 Nov 13:03:17 CET (emitter 7)")
    assert message.line({"alert": "gone", "freq_center_hz": 3e5, "freq_relative": True, "snr_db": 3.0, "emitter_name": "gate",
                         "recording": "night"}, soon) == "Gone from +300.0 kHz from the centre, gate in night"
    assert message.line({"alert": "receiver", "analysis_type": "gain step", "freq_center_hz": 434e6}, soon) == (
        "Receiver, at 434.0000 MHz, gain step")
    fault = {"alert": "fault", "message": "driver=rtlsdr: no samples for 5 s", "timestamp": heard["timestamp"]}
    assert message.line(fault, soon) == "The monitor has stopped, 12:03:17 UTC: driver=rtlsdr: no samples for 5 s"
    assert EventFilter(Rules(min_snr_db=20).of_people()).passes(fault) and not EventFilter(Rules()).passes(fault)
    assert message.line({}, soon) == "Anomaly at an unknown frequency, unknown signal"


def test_the_page_lists_every_rule_and_no_other():
    page = (Path(__file__).parents[2] / "docs/push.md").read_text()
    table = page.partition("| rule |")[2].partition("\n\n")[0]
    assert [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")] == list(RULES)
