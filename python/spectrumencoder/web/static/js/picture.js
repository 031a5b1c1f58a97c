// SPDX-License-Identifier: GPL-3.0-or-later
// The picture of a snippet: its rows as a waterfall, newest at the bottom, with the alert's box.

import {color, alertColor} from "./palette.js";
import {clock, place, what, width} from "./format.js";
import {dbfs, decode} from "./rows.js";

export async function showPicture(dialog, alert, url, archive) {
  const title = dialog.querySelector("h2"), note = dialog.querySelector("p"), canvas = dialog.querySelector("canvas");
  title.textContent = `${what(alert)}, ${place(alert)}`;
  note.textContent = "loading";
  dialog.querySelector("a").href = archive;
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  if (!dialog.open) dialog.showModal();
  const answer = await fetch(url);
  if (!answer.ok) {
    note.textContent = (await answer.json().catch(() => ({}))).error || "the samples cannot be read";
    return;
  }
  const rows = decode(await answer.arrayBuffer());
  if (!rows.length) {
    note.textContent = "the snippet is too short for a picture";
    return;
  }
  const {n} = rows[0], image = new ImageData(n, rows.length), all = new Uint32Array(256);
  for (const row of rows) for (const level of row.levels) all[level]++;
  const total = n * rows.length;
  let low = 0, high = 255, sum = 0;
  for (; low < 255 && (sum += all[low]) < 0.1 * total; low++);
  for (sum = 0; high > low && (sum += all[high]) < 1e-4 * total; high--);
  low -= 3;
  const colors = Array.from({length: 256}, (_, level) => color((level - low) / Math.max(1, high - low)));
  rows.forEach((row, y) => row.levels.forEach((level, x) => {
    image.data.set([...colors[level], 255], 4 * (y * n + x));
  }));
  const whole = new OffscreenCanvas(n, rows.length);
  whole.getContext("2d").putImageData(image, 0, 0);
  const pen = canvas.getContext("2d"), seconds = rows.length * rows[0].seconds, half = Math.max(alert.bandwidth_hz || 0, 4 * rows[0].step);
  // the alert in the middle, with eight widths around it; all of the band if it is wide
  const span = Math.min(rows[0].rate, Math.max(16 * half, 0.15 * rows[0].rate));
  const left = Math.min(Math.max(alert.freq_center_hz - span / 2, rows[0].low), rows[0].low + rows[0].rate - span);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(whole, (left - rows[0].low) / rows[0].step, 0, span / rows[0].step, rows.length, 0, 0, canvas.width, canvas.height);
  pen.strokeStyle = alertColor(alert);
  pen.lineWidth = 2;
  const x = frequency => (frequency - left) / span * canvas.width, first = alert.spans[0] || [rows[0].t, rows[0].t + seconds];
  const y = t => Math.min(canvas.height - 2, Math.max(2, (t - rows[0].t) / seconds * canvas.height));
  pen.strokeRect(x(alert.freq_center_hz - half / 2) - 2, y(first[0]), x(alert.freq_center_hz + half / 2) - x(alert.freq_center_hz - half / 2) + 4,
    Math.max(6, y(first[1]) - y(first[0])));
  note.textContent = `${width(span)} around it, ${seconds.toFixed(2)} s from ${clock(rows[0].t, true)} UTC downwards, `
    + `${dbfs(Math.max(0, low)).toFixed(0)} to ${dbfs(high).toFixed(0)} dBFS`;
}
