// SPDX-License-Identifier: GPL-3.0-or-later
// The waterfall: a WebGL texture with a line for each slot of time, newest on top. The graphics card zooms and colours.
//
// While it is live, each row of the spectrum changes one line. Another time or axis makes the texture anew from the rows kept.

import {GLSL} from "./palette.js";

const VERTEX = `attribute vec2 at; varying vec2 place;
void main() { place = vec2(at.x, 1.0 - at.y); gl_Position = vec4(2.0 * at - 1.0, 0.0, 1.0); }`;

// A pixel may cover several columns: it shows the strongest, so that narrow signals do not vanish on a small screen.
const FRAGMENT = `precision highp float;
varying vec2 place;
uniform sampler2D levels;
uniform vec2 band, range, size;
uniform float head, lines, across;
uniform vec3 empty;
${GLSL}
void main() {
  float line = floor(place.y * lines);
  float row = (mod(head - line + 2.0 * size.y, size.y) + 0.5) / size.y;
  float first = mix(band.x, band.y, place.x) * size.x;
  float best = 0.0;
  for (int k = 0; k < 16; k++) {
    if (float(k) >= across) break;
    float column = clamp(floor(first + float(k)) + 0.5, 0.5, size.x - 0.5);
    best = max(best, texture2D(levels, vec2(column / size.x, row)).r);
  }
  float t = clamp((best * 255.0 - range.x) / (range.y - range.x), 0.0, 1.0);
  gl_FragColor = best == 0.0 ? vec4(empty, 1.0) : vec4(palette(t), 1.0);
}`;

export class Waterfall {
  constructor(canvas, view, rows) {
    this.canvas = canvas;
    this.view = view;
    this.rows = rows;
    this.range = [0, 255];
    this.key = "";
    canvas.addEventListener("webglcontextlost", event => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => { this.start(); this.key = ""; });
    this.start();
  }

  start() {
    const gl = this.gl = this.canvas.getContext("webgl", {antialias: false, alpha: false, preserveDrawingBuffer: true});
    if (!gl) return;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([0, 0, 1, 0, 0, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.bindAttribLocation(program, 0, "at");
    gl.vertexAttribPointer(gl.getAttribLocation(program, "at"), 2, gl.FLOAT, false, 0, 0);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [key, value] of [[gl.TEXTURE_MIN_FILTER, gl.NEAREST], [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, key, value);
    this.at = Object.fromEntries(["band", "range", "size", "head", "lines", "across", "empty"].map(
      name => [name, gl.getUniformLocation(program, name)]));
  }

  get works() { return !!this.gl; }

  // Seconds of a line, and number of lines: not more than the screen shows
  scale() {
    const lines = Math.max(32, Math.min(1024, this.canvas.height));
    const slot = Math.max(this.rowS, this.view.span / lines);
    return {slot, lines: Math.max(1, Math.round(this.view.span / slot))};
  }

  get rowS() { return this.rows.last ? Math.max(0.02, this.rows.last.seconds) : 0.05; }

  // Draws what the view shows
  draw(empty) {
    const {gl, view, canvas} = this;
    if (!gl || !view.axis || !this.rows.length) return;
    const {slot, lines} = this.scale();
    const key = [view.axis.low, view.axis.high, view.axis.n, slot, lines].join();
    const end = Math.floor((view.endS - 1e-6) / slot);
    if (key !== this.key || end < this.endSlot || end - this.endSlot > lines || (view.paused && end !== this.endSlot)) {
      this.rebuild(key, slot, lines, end);
    } else this.append(slot, end);
    gl.viewport(0, 0, canvas.width, canvas.height);
    const axis = view.axis, width = axis.high - axis.low;
    const band = [(view.low - axis.low) / width, (view.high - axis.low) / width];
    gl.uniform2f(this.at.band, ...band);
    gl.uniform2f(this.at.range, ...this.range);
    gl.uniform2f(this.at.size, axis.n, this.lines);
    gl.uniform1f(this.at.head, ((end % this.lines) + this.lines) % this.lines);
    gl.uniform1f(this.at.lines, lines);
    gl.uniform1f(this.at.across, Math.min(16, Math.max(1, Math.ceil((band[1] - band[0]) * axis.n / canvas.width))));
    gl.uniform3f(this.at.empty, ...empty.map(part => part / 255));
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  rebuild(key, slot, lines, end) {
    Object.assign(this, {key, lines, endSlot: end});
    const {gl} = this, n = this.view.axis.n;
    this.levels = new Uint8Array(n * lines);
    this.drawn = this.rows.last;
    for (const row of this.rows.between((end - lines + 1) * slot, (end + 1) * slot)) this.put(row, slot);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.LUMINANCE, n, lines, 0, gl.LUMINANCE, gl.UNSIGNED_BYTE, this.levels);
    this.dirty = new Set();
  }

  // Lines of a row: one, or several if it is longer than a line
  put(row, slot) {
    const last = Math.min(this.endSlot, Math.floor((row.t + Math.max(row.seconds - 1e-3, 0)) / slot));
    for (let at = Math.max(Math.floor(row.t / slot + 1e-6), this.endSlot - this.lines + 1); at <= last; at++) {
      const line = ((at % this.lines) + this.lines) % this.lines;
      this.view.axis.place(row, this.levels, line * this.view.axis.n);
      this.dirty?.add(line);
    }
  }

  append(slot, end) {
    const {gl} = this, n = this.view.axis.n;
    for (let at = this.endSlot + 1; at <= end; at++) {
      const line = ((at % this.lines) + this.lines) % this.lines;
      this.levels.fill(0, line * n, (line + 1) * n);
      this.dirty.add(line);
    }
    this.endSlot = end;
    if (!this.view.paused && this.rows.last !== this.drawn) {
      const since = this.drawn ? this.drawn.t : 0, number = this.drawn ? this.drawn.number : -1;
      for (const row of this.rows.between(since, Infinity)) if (row.number > number) this.put(row, slot);
      this.drawn = this.rows.last;
    }
    for (const line of this.dirty) {
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, line, n, 1, gl.LUMINANCE, gl.UNSIGNED_BYTE, this.levels.subarray(line * n, (line + 1) * n));
    }
    this.dirty.clear();
  }

  // The range of colours follows the levels of the last seconds: from below the noise to the strongest. Whether it has moved
  follow() {
    const counts = new Uint32Array(256);
    let total = 0;
    for (const row of this.rows.between(this.view.endS - 10, this.view.endS)) {
      for (let k = 0; k < row.n; k += 2) counts[row.levels[k]]++;
    }
    for (let k = 1; k < 256; k++) total += counts[k];
    if (!total) return false;
    const quantile = share => {
      let sum = 0, k = 1;
      for (; k < 255 && (sum += counts[k]) < share * total; k++);
      return k;
    };
    const low = quantile(0.1) - 4, high = Math.max(low + 40, quantile(0.9995));
    const near = this.range[1] === 255 ? 1 : 0.3, before = this.range;
    this.range = [before[0] + near * (low - before[0]), before[1] + near * (high - before[1])];
    return Math.abs(this.range[0] - before[0]) + Math.abs(this.range[1] - before[1]) > 0.5;
  }
}
