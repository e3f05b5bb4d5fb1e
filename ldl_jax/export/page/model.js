// The model and the detector's networks, run by ONNX Runtime inside of the page.
//
// All of it runs in the page itself, not in a worker: a worker that a plain static server delivers
// would not be bound by the page's content security policy, which lets no picture out.

import { cut, isPlausible, squareOf } from "./align.js";
import { detect } from "./detector.js";
import { fit } from "./resample.js";

const FACES = 16; // At most so many are answered for in one call of the model.

/** A file of this page that is missing or damaged; the message is for the person who reads it. */
export class SiteError extends Error {}

/** Loads what the folder holds; `say` takes a line of text on what is going on. */
export async function load(say) {
  say("Loading the model…");
  const about = await (await read("model.json")).json();
  const runtime = await runtimeFrom(about.runtime);
  const session = (file) => sessionOf(runtime, file);
  const model = await session(about.model);
  const networks = {};
  for (const [name, file] of Object.entries(about.detector?.networks ?? {})) {
    networks[name] = caller(runtime, await session(file), about.detector.shapes[name]);
  }
  return { about, find: (image) => detect(image, networks, about.detector.settings),
    answer: (crops) => answer(runtime, model, about, crops) };
}

async function runtimeFrom({ script, wasm }) {
  let runtime;
  try {
    runtime = await import(new URL(script, document.baseURI));
  } catch (error) {
    throw new SiteError(`${script} of this page cannot be loaded (${error.message})`);
  }
  // One thread: more of them need headers that a plain static server does not send.
  runtime.env.wasm.numThreads = 1;
  runtime.env.wasm.wasmBinary = await (await read(wasm)).arrayBuffer();
  return runtime;
}

async function read(file) {
  let response;
  try {
    response = await fetch(new URL(file, document.baseURI));
  } catch (error) {
    throw new SiteError(`${file} of this page cannot be loaded (${error.message})`);
  }
  if (!response.ok) throw new SiteError(`${file} of this page is missing (${response.status})`);
  return response;
}

async function sessionOf(runtime, file) {
  const content = new Uint8Array(await (await read(file)).arrayBuffer());
  try {
    return await runtime.InferenceSession.create(content, { executionProviders: ["wasm"] });
  } catch (error) {
    throw new SiteError(`${file} of this page is damaged, or needs a newer browser (${error.message})`);
  }
}

/** Returns a function of a count and arrays by name that resolves to arrays by name. */
function caller(runtime, session, shapes) {
  return async (count, inputs) => {
    const feeds = Object.fromEntries(Object.entries(inputs).map(([name, array]) => {
      const type = array instanceof Int32Array ? "int32" : "float32";
      return [name, new runtime.Tensor(type, array, [count, ...shapes[name]])];
    }));
    const outputs = await session.run(feeds);
    return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data]));
  };
}

/** Cuts the faces out of a picture as the model's training pictures were. */
export function cropsOf(image, faces, about) {
  const least = about.least;
  return faces.map((face) => {
    if (!isPlausible(face, about.alignment.kind, image.width, image.height)) {
      throw new Error("the detector gave a box that cannot be a face's");
    }
    const whole = cut(image, squareOf(face, about.alignment), least);
    return fit(whole, about);
  });
}

/** Returns {value, low, high, probs} for each crop; low and high are null where there are none. */
async function answer(runtime, model, about, crops) {
  const answers = [];
  for (let start = 0; start < crops.length; start += FACES) {
    const part = crops.slice(start, start + FACES);
    const pixels = new Uint8Array(part.length * about.size * about.size * 3);
    part.forEach(({ data }, index) => pixels.set(data, index * data.length));
    const images = new runtime.Tensor("uint8", pixels, [part.length, about.size, about.size, 3]);
    const { value, low, high, probs } = await model.run({ images });
    const labels = about.labels.length;
    part.forEach((_, row) => answers.push({
      value: value.data[row],
      low: about.value_alone ? null : low.data[row],
      high: about.value_alone ? null : high.data[row],
      probs: probs.data.slice(row * labels, (row + 1) * labels),
    }));
  }
  return answers;
}
