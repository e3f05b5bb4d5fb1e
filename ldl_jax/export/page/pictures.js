// Reads the pictures that a person gives, and says in one line what is wrong with one.

import { blank } from "./resample.js";

const MEGABYTES = 100;
const MEGAPIXELS = 120;
const LONGEST = 16384; // Pixels of a side; larger ones cannot be drawn by all browsers.
const STRIP = 256; // Rows that are drawn at once; some browsers have small limits for a canvas.

/** Returns a file's picture {width, height, data}, upright, on white where it is transparent. */
export async function readPicture(file) {
  if (file.size === 0) throw new Error("the file is empty");
  if (file.size > MEGABYTES * 1e6) {
    throw new Error(`it is too big: ${Math.ceil(file.size / 1e6)} MB, at most ${MEGABYTES}`);
  }
  checkWhole(new Uint8Array(await file.arrayBuffer()));
  await checkSize(file);
  let bitmap;
  try {
    // The pixels as they are stored, as Python takes them: no colour profile is applied.
    const options = { colorSpaceConversion: "none", imageOrientation: "from-image" };
    bitmap = await createImageBitmap(file, options);
  } catch {
    throw new Error("it cannot be read as a picture");
  }
  try {
    return pixelsOf(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** Throws where a JPEG or PNG file is cut short or damaged; a browser would show what is there. */
function checkWhole(content) {
  if (content[0] === 0xff && content[1] === 0xd8) checkJpeg(content);
  if (content[0] === 0x89 && content[1] === 0x50) checkPng(content);
}

function checkJpeg(content) {
  let at = 2;
  while (at + 1 < content.length) {
    const marker = content[at + 1];
    if (content[at] !== 0xff || marker === 0 || marker === 0xff || (marker & 0xf8) === 0xd0) {
      at++; // A scan's coded pixels, and what fills them up, lie between its header and a marker.
      continue;
    }
    if (marker === 0xd9) return;
    at += 2 + ((content[at + 2] << 8) | content[at + 3]);
  }
  throw new Error("it is damaged: the JPEG is cut short");
}

function checkPng(content) {
  const view = new DataView(content.buffer);
  for (let at = 8; at + 12 <= content.length; ) {
    const end = at + 8 + view.getUint32(at);
    if (end + 4 > content.length) break;
    if (checkSum(content.subarray(at + 4, end)) !== view.getUint32(end)) {
      throw new Error("it is damaged: a part of the PNG has another check sum");
    }
    if (String.fromCharCode(...content.subarray(at + 4, at + 8)) === "IEND") return;
    at = end + 4;
  }
  throw new Error("it is damaged: the PNG is cut short");
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function checkSum(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}

/** Throws where the header of a picture declares more pixels than are read; decodes none. */
async function checkSize(file) {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => Object.assign(image, { onload: resolve, onerror: reject }));
  } catch {
    throw new Error("it cannot be read as a picture");
  } finally {
    URL.revokeObjectURL(image.src);
  }
  const { naturalWidth: width, naturalHeight: height } = image;
  if (width * height > MEGAPIXELS * 1e6 || Math.max(width, height) > LONGEST) {
    const limit = `at most ${MEGAPIXELS} million, and ${LONGEST} on a side`;
    throw new Error(`it is too big: ${width} × ${height} pixels, ${limit}`);
  }
}

/** Returns the pixels of something that can be drawn. */
export function pixelsOf(source, width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, Math.min(STRIP, height)];
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  checkReading(context);
  const result = blank(width, height);
  for (let top = 0, to = 0; top < height; top += STRIP) {
    const rows = Math.min(STRIP, height - top);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, rows);
    context.drawImage(source, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let at = 0; at < data.length; at += 4, to += 3) {
      result.data[to] = data[at];
      result.data[to + 1] = data[at + 1];
      result.data[to + 2] = data[at + 2];
    }
  }
  return result;
}

/** Throws where a browser gives pages other pixels than they drew, to make tracking harder. */
function checkReading(context) {
  context.fillStyle = "rgb(10 120 230)";
  context.fillRect(0, 0, 1, 1);
  const { data } = context.getImageData(0, 0, 1, 1);
  if ([10, 120, 230].some((value, index) => Math.abs(data[index] - value) > 8)) {
    throw new Error("this browser hides pixels from pages; allow this page to read its canvas");
  }
}

/** Draws a picture into a canvas of its size. */
export function canvasOf({ width, height, data }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const pixels = new ImageData(width, height);
  for (let at = 0, from = 0; from < data.length; at += 4, from += 3) {
    pixels.data[at] = data[from];
    pixels.data[at + 1] = data[from + 1];
    pixels.data[at + 2] = data[from + 2];
    pixels.data[at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}
