// SPDX-License-Identifier: GPL-3.0-or-later
// What part of frequency and time is shown. Everything that draws listens to it.

import {KEPT_S} from "./rows.js";

export class View extends EventTarget {
  constructor(rows) {
    super();
    this.rows = rows;
    this.axis = null;
    this.low = this.high = 0;   // Hz
    this.span = 30;             // s
    this.end = null;            // POSIX s; null: the newest row
  }

  get paused() { return this.end !== null; }
  get newest() { const last = this.rows.last; return last ? last.t + last.seconds : Date.now() / 1000; }
  get endS() { return this.end ?? this.newest; }
  get beginS() { return this.endS - this.span; }
  get whole() { return !this.axis || (this.low <= this.axis.low && this.high >= this.axis.high); }

  setAxis(axis) {
    const wasWhole = this.whole, old = this.axis;
    this.axis = axis;
    if (wasWhole || !old || this.high <= axis.low || this.low >= axis.high) [this.low, this.high] = [axis.low, axis.high];
    else this.clamp();
    this.changed("axis");
  }

  clamp() {
    const width = Math.min(Math.max(this.high - this.low, 12 * this.axis.step), this.axis.high - this.axis.low);
    this.low = Math.min(Math.max(this.low, this.axis.low), this.axis.high - width);
    this.high = this.low + width;
  }

  zoom(factor, at = (this.low + this.high) / 2) {
    if (!this.axis) return;
    const least = 12 * this.axis.step, width = Math.max(least, (this.high - this.low) * factor);
    const share = (at - this.low) / (this.high - this.low);
    this.low = at - share * width;
    this.high = this.low + width;
    this.clamp();
    this.changed("frequency");
  }

  pan(hz) {
    if (!this.axis) return;
    this.low += hz;
    this.high += hz;
    this.clamp();
    this.changed("frequency");
  }

  showWhole() {
    if (!this.axis) return;
    [this.low, this.high] = [this.axis.low, this.axis.high];
    this.changed("frequency");
  }

  // Shows a place and a time, as that of an alert
  showPlace(low, high, begin, end) {
    if (this.axis && (low < this.low || high > this.high)) {
      this.low = low - 0.25 * this.axis.step * this.axis.n;
      this.high = high + 0.25 * this.axis.step * this.axis.n;
      this.clamp();
    }
    if (begin != null && (end < this.beginS || begin > this.endS)) this.scrollTo(end + 0.3 * this.span);
    else this.changed("frequency");
  }

  setSpan(s) {
    this.span = s;
    this.changed("time");
  }

  scrollTo(end) {
    const oldest = Math.max(this.rows.oldest ? this.rows.oldest.t : 0, this.newest - KEPT_S);
    this.end = end >= this.newest ? null : Math.max(end, Math.min(oldest + this.span, this.newest));
    this.changed("time");
  }

  scroll(s) { this.scrollTo(this.endS + s); }

  pause(on) {
    this.end = on ? this.newest : null;
    this.changed("time");
  }

  changed(what) { this.dispatchEvent(new CustomEvent("view", {detail: what})); }
}
