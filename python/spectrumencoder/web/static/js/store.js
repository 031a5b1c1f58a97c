// SPDX-License-Identifier: GPL-3.0-or-later
// What is known of the feed that is followed. Parts of the page listen to its events: all, news, state, rows, axis.

import {Axis, KEPT_S, Rows, decode} from "./rows.js";
import {History} from "./levels.js";

const SCAN_S = 60;  // tunings heard within it make the axis of a scan
const MAX_SIGNALS = 1500, MAX_LOG = 50;

export class Store extends EventTarget {
  constructor() {
    super();
    this.rows = new Rows();
    this.history = new History();
    this.clear();
  }

  clear() {
    this.rows.clear();
    this.history.clear();
    this.about = {};
    this.state = {};
    this.expected = [];
    this.alerts = new Map();
    this.signals = new Map();
    this.duty = new Map();
    this.emitters = new Map();
    this.snippets = new Set();
    this.log = [];
    this.ended = null;
    this.lostRows = 0;
    this.tunings = new Map();
    this.axis = null;
  }

  // A text of the server
  take(message) {
    if (message.type === "all") {
      this.clear();
      this.about = message.about;
      this.ended = message.ended;
      this.takeNews(message);
      this.takeState(message);
      this.emit("all");
    } else if (message.type === "news") {
      this.takeNews(message);
      this.emit("news", message);
    } else if (message.type === "state") {
      this.takeState(message);
    } else if (message.type === "lost") {
      this.lostRows = message.rows;
    }
    if (message.type !== "news") this.emit("state");
  }

  takeNews({alerts = [], signals = [], told = []}) {
    for (const alert of alerts) {
      this.alerts.delete(alert.event_id);
      this.alerts.set(alert.event_id, alert);
    }
    for (const signal of signals) {
      this.signals.set(`${signal.signal_id}/${signal.sample_start}`, signal);
      // of one short burst it would say nothing
      const known = signal.bursts > 1 || (signal.span && signal.span[1] - signal.span[0] > 5);
      if (signal.duty_cycle != null && known) this.duty.set(signal.signal_id, signal);
    }
    while (this.signals.size > MAX_SIGNALS) this.signals.delete(this.signals.keys().next().value);
    if (this.duty.size > MAX_SIGNALS) this.duty.delete(this.duty.keys().next().value);
    this.log = [...told.reverse(), ...this.log].slice(0, MAX_LOG);
  }

  takeState({state, emitters = [], removed = [], expected}) {
    this.state = state;
    for (const id of removed) this.emitters.delete(id);
    for (const row of emitters) {
      if (!this.emitters.has(row.emitter_id)) this.history.add(this.rows.between(0, Infinity), new Map([[0, row]]));
      this.emitters.set(row.emitter_id, row);
    }
    if (expected) this.expected = expected;
    this.snippets = new Set(state.snippets || []);
  }

  takeRows(buffer) {
    const rows = decode(buffer);
    if (!rows.length) return;
    this.rows.add(rows);
    this.history.add(rows, this.emitters);
    for (const row of rows) this.tunings.set(`${row.center}/${row.rate}`, row);
    const newest = this.rows.last.t;
    if (this.about.is_scan) {
      for (const [key, row] of this.tunings) if (newest - row.t > SCAN_S) this.tunings.delete(key);
    } else this.tunings = new Map([["", this.rows.last]]);
    const axis = Axis.of([...this.tunings.values()]);
    if (!axis.same(this.axis)) {
      this.axis = axis;
      this.emit("axis");
    }
    this.emit("rows", rows);
  }

  // Level (a byte) of the row at a time, 0 if there is none
  levelAt(frequency, t) {
    const row = this.rows.list[this.rows.from(t)];
    if (!row || row.t > t + 0.5) return 0;
    const k = Math.floor((frequency - row.low) / row.step);
    return k >= 0 && k < row.n ? row.levels[k] : 0;
  }

  // Share of the time in which an emitter was on, as the list of signals measured it; null: not known
  dutyOf(emitter) {
    if (emitter.steady) return 1;
    const places = emitter.hop_set_hz?.length ? emitter.hop_set_hz : [emitter.freq_center_hz];
    let sum = null;
    for (const at of places) {
      let best = null, nearest = Infinity;
      for (const signal of this.duty.values()) {
        const away = Math.abs(signal.freq_center_hz - at), reach = 0.5 * Math.max(emitter.bandwidth_hz, signal.bandwidth_hz || 0);
        if (away <= reach && away < nearest) [best, nearest] = [signal.duty_cycle, away];
      }
      if (best !== null) sum = Math.min(1, (sum || 0) + best);
    }
    return sum;
  }

  sortedAlerts() {
    return [...this.alerts.values()].sort((a, b) => (a.state === "close") - (b.state === "close") || b.opened - a.opened);
  }

  // Whether anything may be decided here
  get steered() { return this.ended === null && !!this.about.can_steer; }

  // Since when the radio is lost, POSIX s; null: it is not
  get lostSince() { return this.ended === null ? this.state.health?.radio_lost ?? null : null; }

  // A recording's time is its own
  get now() {
    const newest = this.rows.last?.t ?? 0;
    return newest && !this.about.is_radio ? newest : Math.max(newest, Date.now() / 1000);
  }

  emit(name, detail) { this.dispatchEvent(new CustomEvent(name, {detail})); }
}

export {KEPT_S};
