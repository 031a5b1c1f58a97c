// SPDX-License-Identifier: GPL-3.0-or-later
// The spectrum above the waterfall: the present one, what is expected, and the maximum since max-hold began.

import {dbfs} from "./rows.js";

const AVERAGED = 0.35;  // of a new row
const SHOWN_S = 60;     // a column that no tuning has heard for so long is empty

export class Spectrum {
  constructor(root, view, store) {
    Object.assign(this, {root, view, store, hold: true, plot: null, range: [-110, -40]});
    this.reset();
  }

  reset() {
    const n = this.view.axis ? this.view.axis.n : 0;
    this.now = new Float32Array(n).fill(NaN);
    this.max = new Float32Array(n).fill(NaN);
    this.heard = new Float64Array(n);
    this.scratch = new Uint8Array(n);
  }

  clearHold() { this.max.fill(NaN); }

  add(rows) {
    const axis = this.view.axis;
    if (!axis || this.now.length !== axis.n) this.reset();
    if (!axis) return;
    for (const row of rows) {
      this.scratch.fill(0);
      axis.place(row, this.scratch, 0);
      const first = Math.max(0, Math.floor((row.low - axis.low) / axis.step) - 1);
      const stop = Math.min(axis.n, Math.ceil((row.low + row.rate - axis.low) / axis.step) + 1);
      for (let k = first; k < stop; k++) {
        if (!this.scratch[k]) continue;
        const level = dbfs(this.scratch[k]);
        this.now[k] = this.now[k] === this.now[k] ? this.now[k] + AVERAGED * (level - this.now[k]) : level;
        if (!(this.max[k] >= level)) this.max[k] = level;
        this.heard[k] = row.t;
      }
    }
  }

  // What is expected, on the axis; null where nothing is known
  expected() {
    const axis = this.view.axis, out = new Array(axis.n).fill(null);
    for (const one of this.store.expected) {
      const n = one.dbfs.length, step = one.rate_hz / n, low = one.center_hz - step * (Math.floor(n / 2) + 0.5);
      for (let k = 0; k < n; k++) {
        const column = Math.floor((low + (k + 0.5) * step - axis.low) / axis.step + 1e-6);
        if (column < 0 || column >= axis.n || one.dbfs[k] == null) continue;
        if (out[column] === null || out[column] < one.dbfs[k]) out[column] = one.dbfs[k];
      }
    }
    return out;
  }

  make() {
    const css = getComputedStyle(document.documentElement), get = name => css.getPropertyValue(name).trim();
    this.plot?.destroy();
    const axis = {stroke: get("--muted"), grid: {stroke: get("--line"), width: 1}, ticks: {stroke: get("--line"), width: 1},
      font: "11px system-ui, sans-serif"};
    const digits = () => { const w = this.view.high - this.view.low; return w > 2e7 ? 1 : w > 2e6 ? 2 : w > 2e5 ? 3 : 4; };
    const inside = tick => {
      const share = (1e6 * tick - this.view.low) / (this.view.high - this.view.low);
      return share > 0.03 && share < 0.97;
    };
    this.plot = new uPlot({
      width: Math.max(50, this.root.clientWidth), height: Math.max(50, this.root.clientHeight), legend: {show: false},
      padding: [8, 0, 0, 0],
      cursor: {y: false, points: {show: false}, drag: {x: false, y: false}},
      scales: {x: {time: false, range: () => [this.view.low / 1e6, this.view.high / 1e6]}, y: {range: () => this.range}},
      axes: [{...axis, size: 24, gap: 4, space: 70, values: (_, ticks) => ticks.map(tick => inside(tick) ? tick.toFixed(digits()) : "")},
        {...axis, size: 0, grid: {...axis.grid}, space: 28, ticks: {show: false}}],
      series: [{}, {stroke: get("--hold"), width: 1, show: this.hold},
        {stroke: get("--now"), width: 1.25, fill: get("--now-fill"), fillTo: () => this.range[0]},
        {stroke: get("--expected"), width: 1.5, dash: [6, 4]}],
      hooks: {draw: [plot => this.levels(plot, get("--muted"))]},
    }, [[], [], [], []], this.root);
  }

  // Labels of the levels inside, so that the plot is as wide as the waterfall
  levels(plot, ink) {
    const {ctx} = plot, ratio = devicePixelRatio;
    ctx.save();
    ctx.fillStyle = ink;
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "bottom";
    for (let level = Math.ceil(this.range[0] / 20) * 20; level < this.range[1] - 4; level += 20) {
      ctx.fillText(`${level} dBFS`.replace("-", "−"), plot.bbox.left + 6 * ratio, plot.valToPos(level, "y", true) - 1 * ratio);
    }
    ctx.restore();
  }

  draw() {
    const axis = this.view.axis;
    if (!axis || !this.root.clientWidth) return;
    if (!this.plot) this.make();
    const first = Math.max(0, Math.floor((this.view.low - axis.low) / axis.step) - 1);
    const stop = Math.min(axis.n, Math.ceil((this.view.high - axis.low) / axis.step) + 1);
    const x = [], now = [], max = [], expected = this.expected().slice(first, stop);
    let low = Infinity, high = -Infinity;
    const newest = this.view.newest;
    for (let k = first; k < stop; k++) {
      const known = this.now[k] === this.now[k] && newest - this.heard[k] < SHOWN_S;
      x.push(axis.frequency(k) / 1e6);
      now.push(known ? this.now[k] : null);
      max.push(known ? this.max[k] : null);
      if (known) {
        low = Math.min(low, this.now[k]);
        high = Math.max(high, this.hold ? this.max[k] : this.now[k]);
      }
    }
    if (low < Infinity) {
      const wanted = [10 * Math.floor((low - 4) / 10), 10 * Math.ceil((high + 4) / 10)];
      this.range = [Math.max(wanted[0], wanted[1] - 110), wanted[1]];
    }
    this.plot.setData([x, max, now, expected], false);
    this.plot.setScale("x", {min: this.view.low / 1e6, max: this.view.high / 1e6});
  }

  size() {
    if (this.plot && this.root.clientWidth) this.plot.setSize({width: this.root.clientWidth, height: this.root.clientHeight});
  }

  setHold(on) {
    this.hold = on;
    this.clearHold();
    this.plot?.setSeries(1, {show: on});
  }
}
