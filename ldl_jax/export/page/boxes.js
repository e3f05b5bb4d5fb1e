// Boxes [left, top, right, bottom] of the face detector, as ldl_jax.data.detect.boxes has them.

/**
 * Returns the indices of the boxes that no box of a higher score overlaps, the best first.
 *
 * A box that is left out itself still suppresses others. `leastArea` says whether the overlap is
 * the share of the smaller box, not that of the union.
 */
export function suppress(boxes, scores, most, leastArea) {
  // Of equal scores the later box counts as the better one, as in Python.
  const order = boxes.map((_, index) => index).sort((a, b) => scores[b] - scores[a] || b - a);
  const areas = boxes.map(([left, top, right, bottom]) => (right - left) * (bottom - top));
  return order.filter((later, rank) => {
    const [left, top, right, bottom] = boxes[later];
    for (let before = 0; before < rank; before++) {
      const other = boxes[order[before]];
      const width = Math.min(right, other[2]) - Math.max(left, other[0]);
      const height = Math.min(bottom, other[3]) - Math.max(top, other[1]);
      if (width <= 0 || height <= 0) continue;
      const shared = width * height;
      const [a, b] = [areas[later], areas[order[before]]];
      if (shared / (leastArea ? Math.min(a, b) : a + b - shared) > most) return false;
    }
    return true;
  });
}

/** Returns the square with a box's middle and its longer side. */
export function squared([left, top, right, bottom]) {
  const side = Math.max(right - left, bottom - top);
  const [x, y] = [left + (right - left) / 2 - side / 2, top + (bottom - top) / 2 - side / 2];
  return [x, y, x + side, y + side];
}

/** Moves each edge of a box by a shift in units of the box's size plus one. */
export function shifted([left, top, right, bottom], [a, b, c, d]) {
  const [width, height] = [right - left + 1, bottom - top + 1];
  return [left + a * width, top + b * height, right + c * width, bottom + d * height];
}

/** Returns the sums over all pixels above and to the left of each corner, (width + 1) a row. */
export function summed({ width, height, data }) {
  const stride = (width + 1) * 3;
  const sums = new Float64Array((height + 1) * stride);
  for (let y = 0; y < height; y++) {
    const row = [0, 0, 0];
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        row[channel] += data[(y * width + x) * 3 + channel];
        const at = (y + 1) * stride + (x + 1) * 3 + channel;
        sums[at] = sums[at - stride] + row[channel];
      }
    }
  }
  return { width, height, sums };
}

/** Reduces a summed picture to a size: each new pixel is the mean of the area that it covers. */
export function reduced({ width, height, sums }, newWidth, newHeight) {
  const stride = (width + 1) * 3;
  const columns = edges(width, newWidth), rows = edges(height, newHeight);
  const scale = (newWidth / width) * (newHeight / height);
  // The sum up to a point within a pixel is linear in the point's x and in its y.
  const upTo = (row, column, channel) => {
    const at = row.below * stride + column.below * 3 + channel;
    const upper = sums[at] + (sums[at + 3] - sums[at]) * column.part;
    const next = at + stride;
    const lower = sums[next] + (sums[next + 3] - sums[next]) * column.part;
    return upper + (lower - upper) * row.part;
  };
  const data = new Float32Array(newWidth * newHeight * 3);
  let above = new Float64Array((newWidth + 1) * 3), here = above.slice();
  for (let y = 0; y <= newHeight; y++) {
    [above, here] = [here, above];
    for (let x = 0; x <= newWidth; x++) {
      for (let channel = 0; channel < 3; channel++) {
        here[x * 3 + channel] = upTo(rows[y], columns[x], channel);
      }
    }
    if (y === 0) continue;
    const to = (y - 1) * newWidth * 3;
    for (let at = 0; at < newWidth * 3; at++) {
      data[to + at] = (here[at + 3] - here[at] - above[at + 3] + above[at]) * scale;
    }
  }
  return { width: newWidth, height: newHeight, data };
}

function edges(length, count) {
  return Array.from({ length: count + 1 }, (_, index) => {
    const edge = index * (length / count);
    const below = Math.min(Math.trunc(edge), length - 1);
    return { below, part: edge - below };
  });
}

/**
 * Cuts a box out of a picture to size x size pixels, bilinearly, into `out` from `offset`.
 *
 * Zero is what is outside. The first and last pixels' middles lie on the box's edges, where x
 * stands for x (W - 1) / W of a picture of width W, as the networks were trained.
 */
export function cutInto(out, offset, { width, height, data }, [left, top, right, bottom], size) {
  for (let i = 0; i < size; i++) {
    const row = ((top + ((bottom - top) * i) / (size - 1)) / height) * (height - 1);
    for (let j = 0; j < size; j++, offset += 3) {
      const column = ((left + ((right - left) * j) / (size - 1)) / width) * (width - 1);
      if (!(row >= 0 && row <= height - 1 && column >= 0 && column <= width - 1)) continue;
      const x0 = Math.trunc(column), y0 = Math.trunc(row);
      const x1 = Math.min(x0 + 1, width - 1), y1 = Math.min(y0 + 1, height - 1);
      const across = column - x0, down = row - y0;
      for (let channel = 0; channel < 3; channel++) {
        const first = data[(y0 * width + x0) * 3 + channel];
        const second = data[(y1 * width + x0) * 3 + channel];
        const upper = first + (data[(y0 * width + x1) * 3 + channel] - first) * across;
        const lower = second + (data[(y1 * width + x1) * 3 + channel] - second) * across;
        out[offset + channel] = upper + (lower - upper) * down;
      }
    }
  }
}
