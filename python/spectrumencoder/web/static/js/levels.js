// SPDX-License-Identifier: GPL-3.0-or-later
// The level of each emitter over the last ten minutes, from the rows: a point for five seconds, the maximum.

import {dbfs} from "./rows.js";

export const POINT_S = 5, POINTS = 120;
const MAX_BINS = 32;  // looked at of a wide emitter

export class History {
  constructor() { this.clear(); }

  clear() { this.of = new Map(); }  // emitter_id -> {slot of the newest point, bytes}

  add(rows, emitters) {
    for (const row of rows) {
      const slot = Math.floor(row.t / POINT_S);
      for (const emitter of emitters.values()) this.take(row, slot, emitter);
    }
  }

  take(row, slot, emitter) {
    const places = emitter.hop_set_hz?.length ? emitter.hop_set_hz : [emitter.freq_center_hz];
    const half = 0.5 * Math.max(emitter.bandwidth_hz || 0, row.step);
    let best = 0;
    for (const at of places) {
      const first = Math.max(0, Math.floor((at - half - row.low) / row.step));
      const stop = Math.min(row.n - 1, Math.floor((at + half - row.low) / row.step));
      const step = Math.max(1, Math.floor((stop - first) / MAX_BINS));
      for (let k = first; k <= stop; k += step) if (row.levels[k] > best) best = row.levels[k];
    }
    if (!best) return;
    let one = this.of.get(emitter.emitter_id);
    if (!one) this.of.set(emitter.emitter_id, one = {slot, points: new Uint8Array(POINTS)});
    if (slot > one.slot) {
      const by = Math.min(POINTS, slot - one.slot);
      one.points.copyWithin(0, by);
      one.points.fill(0, POINTS - by);
      one.slot = slot;
    }
    const place = POINTS - 1 - (one.slot - slot);
    if (place >= 0 && best > one.points[place]) one.points[place] = best;
  }

  // Draws the line of an emitter; the time of the newest row is the right edge
  draw(canvas, id, newest, ink) {
    const ratio = devicePixelRatio || 1, w = canvas.clientWidth || 96, h = canvas.clientHeight || 20;
    if (canvas.width !== Math.round(w * ratio)) [canvas.width, canvas.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    const pen = canvas.getContext("2d"), one = this.of.get(id);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, w, h);
    if (!one) return;
    const known = one.points.filter(level => level > 0), shift = Math.floor(newest / POINT_S) - one.slot;
    const low = Math.min(...known) - 2, high = Math.max(...known, low + 16) + 2;
    pen.strokeStyle = ink;
    pen.lineWidth = 1.25;
    pen.beginPath();
    let on = false;
    for (let k = 0; k < POINTS; k++) {
      const level = one.points[k], x = (k - shift + 0.5) / POINTS * w, y = h - 1 - (level - low) / (high - low) * (h - 2);
      if (level && x >= 0) on ? pen.lineTo(x, y) : pen.moveTo(x, y);
      on = level > 0 && x >= 0;
    }
    pen.stroke();
    canvas.title = `${dbfs(Math.min(...known)).toFixed(0)} to ${dbfs(Math.max(...known)).toFixed(0)} dBFS in the last ten minutes`;
  }
}
