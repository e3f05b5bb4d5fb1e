// MTCNN: finds the faces of a picture, each with a box and five points, as ldl_jax.data.detect does.
//
// A pyramid of reduced pictures is searched by PNet; what it proposes is judged by RNet, and what
// is left by ONet, which also gives the points. Source: Zhang et al., "Joint Face Detection and
// Alignment using Multi-task Cascaded Convolutional Networks" (2016).

import { cutInto, reduced, shifted, squared, summed, suppress } from "./boxes.js";
import { resize, round } from "./resample.js";

const LONGEST = 1024; // Pixels of the side of a picture in which faces are looked for.
const CELL = 12; // Pixels that PNet sees at a place.
const TILE = 128; // Pixels of the squares into which a picture is cut for PNet.
const PLACES = (TILE - CELL) / 2 + 1; // Along a side of a tile.
const TILES = 8, CANDIDATES = 64, FINALISTS = 16; // At most, in one call of each network.
const MOST = 4000; // Proposals of one picture; their overlaps are a matrix.

/**
 * Returns the faces {box, points, score} of a picture, the largest first.
 *
 * `networks` has pnet, rnet and onet, each a function of a count and its inputs by name that
 * resolves to its outputs by name; `settings` are those of Python's `mtcnn.Settings`.
 */
export async function detect(image, networks, settings) {
  const scale = Math.max(1, Math.max(image.width, image.height) / LONGEST);
  if (scale > 1) {
    const [width, height] = [image.width, image.height].map((x) => Math.max(1, round(x / scale)));
    image = resize(image, width, height, null, 2);
  }
  const { width, height } = image;
  const pixels = { width, height, data: Float32Array.from(image.data, (x) => (x - 127.5) / 128) };
  const proposals = await propose(pixels, networks.pnet, settings);
  const squares = await refine(pixels, proposals, networks.rnet, settings);
  const faces = await decide(pixels, squares, networks.onet, settings);
  return faces
    .map(({ box, points, score }) => ({
      box: box.map((x) => x * scale),
      points: points.map(([x, y]) => [x * scale, y * scale]),
      score,
    }))
    .sort((a, b) => b.box[2] - b.box[0] - (a.box[2] - a.box[0]));
}

/** Returns the squares where PNet sees a face at any level of the pyramid. */
async function propose(pixels, pnet, settings) {
  const levels = pyramid(pixels.height, pixels.width, settings);
  const sums = levels.length ? summed(pixels) : null;
  const survivors = { boxes: [], scores: [] };
  for (const { scale, height, width } of levels) {
    const found = await search(reduced(sums, width, height), scale, pnet, settings);
    keep(survivors, found, suppress(found.boxes, found.scores, 0.5, false));
  }
  const best = highest(survivors);
  return suppress(best.boxes, best.scores, 0.7, false).map((index) => squared(best.boxes[index]));
}

function keep(into, { boxes, scores }, rows) {
  for (const row of rows) {
    into.boxes.push(boxes[row]);
    into.scores.push(scores[row]);
  }
}

/** Returns the scale, height and width of each level of the pyramid, the largest first. */
function pyramid(height, width, { smallest, factor }) {
  const least = Math.min(height, width);
  const count = round(Math.log(least / CELL) / -Math.log(factor) - 1);
  const scales = Array.from({ length: Math.max(0, count) }, (_, i) => (CELL / smallest) * factor ** i);
  return scales
    .filter((scale) => least * scale >= CELL)
    .map((scale) => ({ scale, height: Math.trunc(height * scale), width: Math.trunc(width * scale) }));
}

/** Returns what PNet proposes at one level: boxes in the whole picture's pixels, and scores. */
async function search(level, scale, pnet, { proposal }) {
  const tiles = [];
  for (let y = 0; y < places(level.height); y += PLACES) {
    for (let x = 0; x < places(level.width); x += PLACES) tiles.push({ x, y });
  }
  const found = { boxes: [], scores: [] };
  await inParts(tiles, TILES, async (part) => {
    const images = new Float32Array(part.length * TILE * TILE * 3);
    const sizes = new Int32Array(part.length * 2);
    part.forEach((tile, index) => {
      const [height, width] = copyTile(images, index, level, tile);
      sizes.set([height, width], index * 2);
    });
    const { shifts, scores } = await pnet(part.length, { images, sizes });
    part.forEach(({ x, y }, index) => {
      const [rows, columns] = [places(sizes[index * 2]), places(sizes[index * 2 + 1])];
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column++) {
          const at = (index * PLACES + row) * PLACES + column;
          if (!(scores[at] > Math.fround(proposal))) continue;
          const [left, top] = [2 * (x + column), 2 * (y + row)];
          const edges = [left + 1, top + 1, left + CELL, top + CELL];
          found.boxes.push(edges.map((edge, i) => (edge + shifts[at * 4 + i] * (CELL - 1)) / scale));
          found.scores.push(scores[at]);
        }
      }
    });
  });
  return highest(found);
}

/** Returns the number of PNet's places along a side of a picture. */
function places(side) {
  return Math.floor((side - 2 + 1) / 2) - 4;
}

/** Copies a tile of a level into the corner of its array; returns its height and width. */
function copyTile(images, index, level, { x, y }) {
  const [left, top] = [2 * x, 2 * y];
  const width = Math.min(TILE, level.width - left), height = Math.min(TILE, level.height - top);
  for (let row = 0; row < height; row++) {
    const from = ((top + row) * level.width + left) * 3;
    images.set(level.data.subarray(from, from + width * 3), (index * TILE + row) * TILE * 3);
  }
  return [height, width];
}

/** Returns the proposals, or those of the highest scores where there are too many. */
function highest(found) {
  if (found.boxes.length <= MOST) return found;
  const order = found.scores.map((_, row) => row);
  order.sort((a, b) => found.scores[b] - found.scores[a] || a - b);
  const best = { boxes: [], scores: [] };
  keep(best, found, order.slice(0, MOST));
  return best;
}

/** Returns the squares that RNet keeps of the proposals, moved. */
async function refine(pixels, squares, rnet, { refinement }) {
  const sure = { boxes: [], scores: [] };
  await judged(pixels, squares, 24, CANDIDATES, rnet, (square, { shifts, scores }, row) => {
    if (!(scores[row] > Math.fround(refinement))) return;
    sure.boxes.push(shifted(square, shifts.subarray(row * 4, row * 4 + 4)));
    sure.scores.push(scores[row]);
  });
  return suppress(sure.boxes, sure.scores, 0.7, false).map((index) => squared(sure.boxes[index]));
}

/** Returns the faces {box, points, score} that ONet sees in the squares. */
async function decide(pixels, squares, onet, { threshold }) {
  const sure = [];
  await judged(pixels, squares, 48, FINALISTS, onet, (square, { shifts, scores, points }, row) => {
    if (!(scores[row] > Math.fround(threshold))) return;
    const [left, top, right, bottom] = square;
    const [width, height] = [right - left + 1, bottom - top + 1];
    const five = Array.from({ length: 5 }, (_, i) => [
      points[row * 10 + i] * width + left - 1,
      points[row * 10 + 5 + i] * height + top - 1,
    ]);
    const box = shifted(square, shifts.subarray(row * 4, row * 4 + 4));
    sure.push({ box, points: five, score: scores[row] });
  });
  const kept = suppress(sure.map(({ box }) => box), sure.map(({ score }) => score), 0.7, true);
  const most = [pixels.width - 1, pixels.height - 1, pixels.width - 1, pixels.height - 1];
  return kept.map((index) => {
    const box = sure[index].box.map((edge, i) => Math.min(Math.max(edge, 0), most[i]));
    return { ...sure[index], box };
  });
}

/** Calls a network for cut-out squares, and `take(square, outputs, row)` for each of them. */
async function judged(pixels, squares, size, rows, network, take) {
  await inParts(squares, rows, async (part) => {
    const images = new Float32Array(part.length * size * size * 3);
    part.forEach((square, index) => cutInto(images, index * size * size * 3, pixels, square, size));
    const outputs = await network(part.length, { images });
    part.forEach((square, index) => take(square, outputs, index));
  });
}

/** Calls a function for at most `count` items at a time, and lets the page move in between. */
async function inParts(items, count, call) {
  for (let start = 0; start < items.length; start += count) {
    await call(items.slice(start, start + count));
    await new Promise((resume) => setTimeout(resume));
  }
}
