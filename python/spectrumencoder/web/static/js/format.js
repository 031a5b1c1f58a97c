// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers and times as people read them. Times are UTC.

export const hz = value => value == null ? "–" : `${(value / 1e6).toFixed(4)} MHz`;

export function place(row) {
  const value = row.freq_center_hz;
  if (value == null) return "–";
  return row.freq_relative ? `${value >= 0 ? "+" : "−"}${Math.abs(value / 1e3).toFixed(1)} kHz` : hz(value);
}

export function width(value) {
  if (value == null) return "";
  for (const [factor, unit] of [[1e6, "MHz"], [1e3, "kHz"]]) if (value >= factor) return `${+(value / factor).toPrecision(3)} ${unit}`;
  return `${+value.toPrecision(3)} Hz`;
}

export const decibels = (value, unit = "dB") => value == null ? "–" : `${value.toFixed(1)} ${unit}`.replace("-", "−");

const two = number => String(number).padStart(2, "0");

export function clock(posix, tenths = false) {
  if (posix == null) return "–";
  const date = new Date(posix * 1000), s = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())}`;
  return tenths ? `${s}.${Math.floor(date.getUTCMilliseconds() / 100)}` : s;
}

export function moment(posix) {
  if (posix == null) return "–";
  return new Date(posix * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
}

// "3 s", "4 min", "2 h", "5 d" ago
export function age(posix, now) {
  if (posix == null) return "–";
  const s = Math.max(0, now - posix);
  if (s < 2) return "now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

export function seconds(value) {
  if (value == null) return "–";
  return value < 10 ? `${value.toFixed(1)} s` : value < 600 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`;
}

export const share = value => value == null ? "–" : value >= 0.1 ? `${Math.round(100 * value)} %` : `${(100 * value).toPrecision(2)} %`;

export const count = value => value == null ? "–" : Number(value).toLocaleString("en").replaceAll(",", "\u202f");

export const what = row => row.emitter_name || row.label || "unknown signal";

// An element with attributes, properties (.name) and children.
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key.startsWith(".")) made[key.slice(1)] = value;
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter(child => child != null && child !== false));
  return made;
}
