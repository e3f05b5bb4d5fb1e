// Resamples pictures by Pillow's own integer arithmetic, so that the page answers as Python does.
//
// A picture is {width, height, data}, with data a Uint8Array of RGB, three bytes a pixel. A
// browser's own scaling differs from one browser to the next, and by some grey levels from Pillow.

const BITS = 22; // Pillow's weights of 8-bit pixels are integers in units of 2 ** -22.

/** Rounds to the nearest integer, a half to the even one, as Python's `round` does. */
export function round(value) {
  const low = Math.floor(value);
  const part = value - low;
  return part < 0.5 || (part === 0.5 && low % 2 === 0) ? low : low + 1;
}

/** Makes a black picture. */
export function blank(width, height) {
  return { width, height, data: new Uint8Array(width * height * 3) };
}

/** Replaces each block of `across` x `down` pixels of a box by its mean, as `Image.reduce` does. */
export function reduce(image, across, down, box = [0, 0, image.width, image.height]) {
  const [left, top, right, bottom] = box;
  const result = blank(Math.ceil((right - left) / across), Math.ceil((bottom - top) / down));
  for (let y = 0; y < result.height; y++) {
    const firstRow = top + y * down;
    const rows = Math.min(down, bottom - firstRow);
    for (let x = 0; x < result.width; x++) {
      const firstColumn = left + x * across;
      const columns = Math.min(across, right - firstColumn);
      const count = rows * columns;
      const share = Math.floor(2 ** 24 / count);
      let red = count >> 1, green = red, blue = red; // The half rounds to the nearest.
      for (let row = 0; row < rows; row++) {
        let at = ((firstRow + row) * image.width + firstColumn) * 3;
        for (let column = 0; column < columns; column++, at += 3) {
          red += image.data[at];
          green += image.data[at + 1];
          blue += image.data[at + 2];
        }
      }
      const to = (y * result.width + x) * 3;
      result.data[to] = Math.imul(red, share) >>> 24;
      result.data[to + 1] = Math.imul(green, share) >>> 24;
      result.data[to + 2] = Math.imul(blue, share) >>> 24;
    }
  }
  return result;
}

/**
 * Resizes a box of a picture with antialiased bilinear weights, as `Image.resize` does.
 *
 * `gap` is Pillow's `reducing_gap`: pictures more than that many times too large are reduced first.
 */
export function resize(image, width, height, box, gap) {
  let [left, top, right, bottom] = box ?? [0, 0, image.width, image.height];
  const across = Math.floor((right - left) / width / gap) || 1;
  const down = Math.floor((bottom - top) / height / gap) || 1;
  if (across > 1 || down > 1) {
    const overX = 0.5 * ((right - left) / width), overY = 0.5 * ((bottom - top) / height);
    const safe = [
      Math.max(0, Math.trunc(left - overX)),
      Math.max(0, Math.trunc(top - overY)),
      Math.min(image.width, Math.ceil(right + overX)),
      Math.min(image.height, Math.ceil(bottom + overY)),
    ];
    image = reduce(image, across, down, safe);
    [left, right] = [left, right].map((x) => (x - safe[0]) / across);
    [top, bottom] = [top, bottom].map((y) => (y - safe[1]) / down);
  }
  [left, top, right, bottom] = [left, top, right, bottom].map(Math.fround);
  const columns = weights(image.width, left, right, width);
  const rows = weights(image.height, top, bottom, height);
  if (columns) image = rowsResized(image, width, columns);
  if (rows) image = columnsResized(image, height, rows);
  return image;
}

/** Returns the weights of the old pixels for each new one, or null where nothing changes. */
function weights(length, start, end, count) {
  if (length === count && start === 0 && end === length) return null;
  const scale = Math.fround(end - start) / count;
  const support = Math.max(scale, 1);
  return Array.from({ length: count }, (_, index) => {
    const centre = start + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const shares = [];
    for (let x = first; x < last; x++) {
      shares.push(Math.max(0, 1 - Math.abs((x - centre + 0.5) * (1 / support))));
    }
    const sum = shares.reduce((a, b) => a + b, 0);
    // All shares are 0 or more, so that adding a half and cutting off rounds to the nearest.
    const whole = shares.map((share) => Math.trunc(0.5 + (sum ? share / sum : share) * 2 ** BITS));
    return { first, shares: Int32Array.from(whole) };
  });
}

function rowsResized(image, width, columns) {
  const result = blank(width, image.height);
  for (let y = 0; y < image.height; y++) {
    const row = y * image.width * 3;
    for (let x = 0; x < width; x++) {
      weighted(image.data, row + columns[x].first * 3, 3, columns[x].shares, result.data,
        (y * width + x) * 3);
    }
  }
  return result;
}

function columnsResized(image, height, rows) {
  const result = blank(image.width, height);
  const stride = image.width * 3;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < image.width; x++) {
      weighted(image.data, rows[y].first * stride + x * 3, stride, rows[y].shares, result.data,
        y * stride + x * 3);
    }
  }
  return result;
}

/** Writes the weighted sum of pixels that lie a step apart. */
function weighted(data, at, step, shares, out, to) {
  let red = 1 << (BITS - 1), green = red, blue = red;
  for (let index = 0; index < shares.length; index++, at += step) {
    const share = shares[index];
    red += data[at] * share;
    green += data[at + 1] * share;
    blue += data[at + 2] * share;
  }
  out[to] = Math.min(red >> BITS, 255);
  out[to + 1] = Math.min(green >> BITS, 255);
  out[to + 2] = Math.min(blue >> BITS, 255);
}

/**
 * Takes a square of `size` pixels out of a picture by an affine map, bilinearly; black outside.
 *
 * The map [a, b, c, d, e, f] leads from the result's (x, y) to (a x + b y + c, d x + e y + f), as
 * that of `Image.transform`.
 */
export function transform(image, size, [a, b, c, d, e, f]) {
  const { width, height, data } = image;
  const result = blank(size, size);
  for (let y = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      let column = a * (x + 0.5) + b * (y + 0.5) + c;
      let row = d * (x + 0.5) + e * (y + 0.5) + f;
      if (!(column >= 0 && column < width && row >= 0 && row < height)) continue;
      column -= 0.5;
      row -= 0.5;
      const left = Math.floor(column), top = Math.floor(row);
      const across = column - left, down = row - top;
      const x0 = Math.max(left, 0) * 3, x1 = Math.min(left + 1, width - 1) * 3;
      const y0 = Math.max(top, 0) * width * 3, y1 = Math.min(top + 1, height - 1) * width * 3;
      for (let channel = 0; channel < 3; channel++) {
        const first = data[y0 + x0 + channel], second = data[y1 + x0 + channel];
        const upper = first + (data[y0 + x1 + channel] - first) * across;
        const lower = second + (data[y1 + x1 + channel] - second) * across;
        result.data[(y * size + x) * 3 + channel] = upper + (lower - upper) * down;
      }
    }
  }
  return result;
}

/** Cuts out a picture's middle and resizes it: what the network takes, as `pictures.fit` does. */
export function fit(image, { size, crop, square }) {
  if (image.width === size && image.height === size && crop === 1) return image;
  const side = Math.min(image.width, image.height);
  const left = (image.width - (square ? side : image.width) * crop) / 2;
  const top = (image.height - (square ? side : image.height) * crop) / 2;
  return resize(image, size, size, [left, top, image.width - left, image.height - top], 3);
}
