// SPDX-License-Identifier: GPL-3.0-or-later
// Colours: of levels (viridis, as a polynomial: Matt Zucker's fit, public domain), and of alerts by their level.

const C = [[0.2777273272, 0.0054073445, 0.3340998053], [0.1050930431, 1.4046135299, 1.3845901626],
  [-0.3308618288, 0.2148475595, 0.0950951630], [-4.6342304990, -5.7991009734, -19.3324409563],
  [6.2282699363, 14.1799333668, 56.6905526007], [4.7763849977, -13.7451453777, -65.3530326334],
  [-5.4354558559, 4.6458526122, 26.3124352496]];

export const GLSL = `vec3 palette(float t) {
  ${C.map((c, k) => `const vec3 c${k} = vec3(${c.join(", ")});`).join("\n  ")}
  return c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * (c5 + t * c6)))));
}`;

export function color(t) {
  return [0, 1, 2].map(k => 255 * Math.min(1, Math.max(0, C.reduceRight((sum, c) => sum * t + c[k], 0))));
}

const LEVELS = {low: "#7fd1ff", medium: "#ffc145", high: "#ff6b4a", critical: "#ff2d55"};
export const alertColor = alert => LEVELS[String(alert.threat_level).toLowerCase()] || "#ffffff";
export const SIGNAL_COLOR = "rgba(242, 242, 242, 0.75)";
