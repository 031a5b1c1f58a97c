// SPDX-License-Identifier: GPL-3.0-or-later
// Rows of the spectrum: from bytes (rows.py has the layout), and those of the last ten minutes.

export const LOW_DBFS = -155, STEP_DB = 0.625, KEPT_S = 600;
const HEADER = 40;

export const dbfs = level => LOW_DBFS + STEP_DB * level;

// A message to rows: {t, seconds, center, rate, n, low (Hz, lower edge), step (Hz), levels, number, coarse}
export function decode(buffer) {
  const view = new DataView(buffer), rows = [];
  for (let at = 0; at + HEADER <= buffer.byteLength;) {
    const n = view.getUint16(at + 2, true), rate = view.getFloat64(at + 24, true), center = view.getFloat64(at + 16, true);
    const step = rate / n;
    rows.push({coarse: view.getUint8(at + 1) === 1, n, number: view.getUint32(at + 4, true), t: view.getFloat64(at + 8, true),
      center, rate, step, low: center - step * (Math.floor(n / 2) + 0.5), seconds: view.getFloat32(at + 32, true),
      levels: new Uint8Array(buffer, at + HEADER, n)});
    at += HEADER + n;
  }
  return rows;
}

export class Rows {
  constructor() { this.clear(); }

  clear() {
    this.list = [];
    this.first = 0;
  }

  get length() { return this.list.length - this.first; }
  get last() { return this.list[this.list.length - 1]; }
  get oldest() { return this.list[this.first]; }

  add(rows) {
    for (const row of rows) this.list.push(row);
    const until = this.last ? this.last.t - KEPT_S : 0;
    while (this.first < this.list.length && this.list[this.first].t < until) this.list[this.first++] = undefined;
    if (this.first > 4096) {
      this.list = this.list.slice(this.first);
      this.first = 0;
    }
  }

  // Number of the first row that does not end before a time
  from(t) {
    let low = this.first, high = this.list.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.list[middle].t + this.list[middle].seconds <= t) low = middle + 1; else high = middle;
    }
    return low;
  }

  *between(begin, end) {
    for (let at = this.from(begin); at < this.list.length && this.list[at].t < end; at++) yield this.list[at];
  }
}

// The frequency axis: columns of equal width that cover the present tuning, or all tunings of a scan.
export class Axis {
  constructor(low, high, n) {
    this.low = low;
    this.high = high;
    this.n = n;
    this.step = (high - low) / n;
  }

  static of(tunings, most = 4096) {
    const low = Math.min(...tunings.map(one => one.low)), high = Math.max(...tunings.map(one => one.low + one.rate));
    const step = Math.max(Math.min(...tunings.map(one => one.step)), (high - low) / most);
    return new Axis(low, high, Math.max(1, Math.round((high - low) / step)));
  }

  covers(row) { return row.low >= this.low - 0.5 * row.step && row.low + row.rate <= this.high + 0.5 * row.step; }

  same(other) { return other && this.low === other.low && this.high === other.high && this.n === other.n; }

  // Puts a row's levels into columns at an offset of a Uint8Array, the larger one where both have some
  place(row, into, offset) {
    const {levels, n} = row;
    const shift = Math.round((row.low - this.low) / this.step);
    if (Math.abs(row.step - this.step) < 1e-6 * this.step) {
      const first = Math.max(0, -shift), stop = Math.min(n, this.n - shift);
      for (let k = first; k < stop; k++) if (levels[k] > into[offset + shift + k]) into[offset + shift + k] = levels[k];
      return;
    }
    for (let k = 0; k < n; k++) {
      const column = Math.floor((row.low + (k + 0.5) * row.step - this.low) / this.step + 1e-6);
      if (column >= 0 && column < this.n && levels[k] > into[offset + column]) into[offset + column] = levels[k];
    }
  }

  frequency(column) { return this.low + (column + 0.5) * this.step; }
}
