// Says which square of a picture is cut out for a face, and cuts it out, as ldl_jax.data.align does.

import { reduce, round, transform } from "./resample.js";

// The five points of an upright face from the middle of its box, in units of the box's side.
const TEMPLATE = [[-0.18, -0.12], [0.18, -0.12], [0, 0.1], [-0.15, 0.255], [0.15, 0.255]];
const OUTSIDE = 8; // A square that is more times as wide as its picture is a mistake.

const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const middle = (points) => [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];

/** Returns the square {x, y, side, angle} of a face {box, points}; "none" is taken as "box". */
export function squareOf(face, { kind, margin }) {
  const square = bare(face, kind);
  return { ...square, side: square.side * (1 + 2 * margin) };
}

/** Returns whether a face's square without its margin can be cut out of a picture of that size. */
export function isPlausible(face, kind, width, height) {
  const square = bare(face, kind);
  return Object.values(square).every(Number.isFinite) && square.side >= 1 &&
    square.side <= OUTSIDE * Math.max(width, height);
}

function bare(face, kind) {
  if (kind === "similarity") return upright(face.points);
  if (kind === "quad") return quad(face.points);
  const [left, top, right, bottom] = face.box;
  const side = Math.max(right - left, bottom - top);
  return { x: (left + right) / 2, y: (top + bottom) / 2, side, angle: 0 };
}

/** Returns the square that the similarity transform of TEMPLATE to the points has its middle in. */
function upright(points) {
  const from = middle(TEMPLATE), to = middle(points);
  let along = 0, turned = 0, spread = 0;
  TEMPLATE.forEach(([x, y], index) => {
    const [a, b] = [x - from[0], y - from[1]];
    const [c, d] = [points[index][0] - to[0], points[index][1] - to[1]];
    along += a * c + b * d;
    turned += a * d - b * c;
    spread += a * a + b * b;
  });
  // In the plane, the rotation of least squares has this angle; no decomposition is needed.
  const side = Math.hypot(along, turned) / spread, angle = Math.atan2(turned, along);
  const [cos, sin] = [side * Math.cos(angle), side * Math.sin(angle)];
  return {
    x: to[0] - (cos * from[0] - sin * from[1]),
    y: to[1] - (sin * from[0] + cos * from[1]),
    side,
    angle,
  };
}

/** Returns the unified benchmark's square about five points (Paplhám and Franc 2024). */
function quad(points) {
  const eyes = middle(points.slice(0, 2)), mouth = middle(points.slice(3));
  const across = [points[1][0] - points[0][0], points[1][1] - points[0][1]];
  const down = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
  const axis = [across[0] + down[1], across[1] - down[0]];
  const half = Math.max(1.92 * Math.hypot(...across), 1.89 * Math.hypot(...down));
  const angle = Math.atan2(axis[1], axis[0]);
  return { x: eyes[0] + 0.1 * down[0], y: eyes[1] + 0.1 * down[1], side: 2 * half, angle };
}

/** Cuts the square out of a picture, upright; at least `least` pixels wide, black outside. */
export function cut(image, square, least) {
  const reduced = Math.max(1, Math.trunc(square.side / (2 * least)));
  const small = reduced > 1 ? reduce(image, reduced, reduced) : image;
  const [x, y, side] = [square.x / reduced, square.y / reduced, square.side / reduced];
  const size = Math.max(least, round(side));
  const step = side / size, half = size / 2;
  const [c, s] = [step * Math.cos(square.angle), step * Math.sin(square.angle)];
  return transform(small, size, [c, -s, x - half * (c - s), s, c, y - half * (s + c)]);
}
