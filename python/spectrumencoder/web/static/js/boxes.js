// SPDX-License-Identifier: GPL-3.0-or-later
// Over the waterfall: boxes of signals and alerts, the times, and what lies under the pointer.

import {SIGNAL_COLOR, alertColor} from "./palette.js";
import {clock, decibels, hz, place, what, width} from "./format.js";
import {dbfs} from "./rows.js";

const MAX_BOXES = 400, STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300];

export class Boxes {
  constructor(canvas, tip, view, store) {
    Object.assign(this, {canvas, tip, view, store, selected: null, shown: [], pointer: null});
    this.pen = canvas.getContext("2d");
  }

  draw(ratio) {
    const {pen, canvas, view} = this, w = canvas.width / ratio, h = canvas.height / ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, h);
    this.shown = [];
    if (!view.axis || !this.store.rows.length) return;
    const x = frequency => (frequency - view.low) / (view.high - view.low) * w;
    const y = t => (view.endS - t) / view.span * h;
    this.times(pen, w, h, y);
    const put = (row, span, kind) => {
      if (!span || span[1] < view.beginS || span[0] > view.endS) return;
      const half = 0.5 * Math.max(row.bandwidth_hz || 0, 2 * view.axis.step);
      if (row.freq_center_hz + half < view.low || row.freq_center_hz - half > view.high) return;
      const box = {row, kind, left: x(row.freq_center_hz - half) - 1.5, right: x(row.freq_center_hz + half) + 1.5,
        top: Math.min(y(span[1]), y(span[0]) - 3) - 1.5, bottom: y(span[0]) + 1.5, span};
      this.shown.push(box);
    };
    for (const signal of this.store.signals.values()) put(signal, signal.span, "signal");
    if (this.shown.length > MAX_BOXES) this.shown = this.shown.slice(-MAX_BOXES);
    for (const alert of this.store.alerts.values()) for (const span of alert.spans) put(alert, span, "alert");
    for (const box of this.shown) this.stroke(pen, box);
    this.point(w, h);
  }

  stroke(pen, box) {
    const chosen = box.kind === "alert" && box.row.event_id === this.selected;
    pen.lineWidth = box.kind === "alert" ? (chosen ? 3 : 2) : 1;
    pen.strokeStyle = box.kind === "alert" ? alertColor(box.row) : SIGNAL_COLOR;
    pen.globalAlpha = box.kind === "alert" && (box.row.accepted_now) ? 0.45 : 1;
    pen.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    pen.globalAlpha = 1;
  }

  times(pen, w, h, y) {
    const step = STEPS.find(s => s / this.view.span * h > 42) || 600;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (let t = Math.floor(this.view.endS / step) * step; t > this.view.beginS; t -= step) {
      const at = y(t);
      if (at < 8 || at > h - 8) continue;
      pen.fillStyle = "rgba(255, 255, 255, 0.35)";
      pen.fillRect(0, Math.round(at), 6, 1);
      const text = clock(t);
      pen.fillStyle = "rgba(0, 0, 0, 0.55)";
      pen.fillRect(8, at - 8, pen.measureText(text).width + 8, 16);
      pen.fillStyle = "#fff";
      pen.fillText(text, 12, at + 0.5);
    }
  }

  // The smallest box under a place
  under(at) {
    const near = this.shown.filter(box => at.x >= box.left - 3 && at.x <= box.right + 3 && at.y >= box.top - 3 && at.y <= box.bottom + 3);
    const area = box => (box.right - box.left) * (box.bottom - box.top) + (box.kind === "signal" ? 1e6 : 0);
    return near.sort((a, b) => area(a) - area(b))[0];
  }

  point(w, h) {
    const at = this.pointer;
    if (!at) {
      this.tip.hidden = true;
      return;
    }
    const frequency = this.view.low + at.x / w * (this.view.high - this.view.low), t = this.view.endS - at.y / h * this.view.span;
    const box = this.under(at), lines = [];
    if (box) {
      const {row} = box;
      lines.push(box.kind === "alert" ? `${row.alert || "event"}: ${what(row)}` : what(row));
      lines.push([place(row), width(row.bandwidth_hz), row.snr_db == null ? "" : `SNR ${decibels(row.snr_db)}`].filter(Boolean).join(", "));
      lines.push(`${clock(box.span[0], true)} UTC, ${(box.span[1] - box.span[0]).toFixed(2)} s`);
    } else {
      const level = this.store.levelAt(frequency, t);
      lines.push(hz(frequency), `${clock(t, true)} UTC${level ? `, ${dbfs(level).toFixed(0)} dBFS` : ""}`);
    }
    this.tip.replaceChildren(...lines.map((line, k) => Object.assign(document.createElement(k ? "span" : "b"), {textContent: line})));
    this.tip.hidden = false;
    const wide = this.tip.offsetWidth, high = this.tip.offsetHeight;
    this.tip.style.left = `${Math.min(at.x + 14, w - wide - 4)}px`;
    this.tip.style.top = `${at.y + 16 + high > h ? at.y - high - 8 : at.y + 16}px`;
  }
}
