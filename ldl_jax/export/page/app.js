// The page: takes pictures by choice, drop, paste or camera, and shows the model's answers.

import { open as openCamera } from "./camera.js";
import { cropsOf, load } from "./model.js";
import { readPicture } from "./pictures.js";
import { fit } from "./resample.js";
import { resultOf, spoken } from "./results.js";

const find = (selector) => document.querySelector(selector);
const [status, errors, results] = ["#status", "#errors", "#results"].map(find);
const [choose, files, whole] = ["#choose", "#files", "#whole"].map(find);
let queue = Promise.resolve(); // Pictures are answered for one after the other.
let model;

function say(text) {
  status.textContent = text;
}

function fail(text) {
  const line = document.createElement("p");
  line.textContent = text;
  errors.append(line);
}

/** Shows one line alone: of something that is no picture. */
function complain(text) {
  errors.replaceChildren();
  fail(text);
}

/** Answers for pictures: each is {name, read}, with `read` resolving to its pixels. */
function take(pictures) {
  errors.replaceChildren();
  const alone = whole.checked;
  for (const picture of pictures) queue = queue.then(() => answered(picture, alone));
}

async function answered({ name, read }, alone) {
  say(`Looking at ${name}…`);
  await new Promise((resume) => setTimeout(resume)); // The line is shown before the work begins.
  try {
    const image = await read();
    const { about } = model;
    const faces = alone ? null : await model.find(image);
    if (faces?.length === 0) throw new Error("no face was found");
    const crops = faces ? cropsOf(image, faces, about) : [fit(image, about)];
    const answers = await model.answer(crops);
    if (!answers.every(({ value }) => Number.isFinite(value))) {
      throw new Error("the model's answer is no number");
    }
    results.prepend(resultOf(name, image, faces, crops, answers, about));
    say(spoken(name, answers, about));
  } catch (error) {
    say("");
    fail(`${name}: ${error.message}`);
  }
}

const ofFiles = (list) => take([...list].map((file) => ({
  name: file.name || "the pasted picture",
  read: () => readPicture(file),
})));

function listen() {
  choose.addEventListener("click", () => files.click());
  files.addEventListener("change", () => {
    ofFiles(files.files);
    files.value = ""; // So that the same file can be chosen again.
  });
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) ofFiles(clipboardData.files);
    else complain("There is no picture in what was pasted.");
  });
  const hovering = (on) => document.body.classList.toggle("hovering", on);
  document.addEventListener("dragover", () => hovering(true));
  document.addEventListener("dragleave", ({ relatedTarget }) => relatedTarget ?? hovering(false));
  document.addEventListener("drop", ({ dataTransfer }) => {
    hovering(false);
    if (dataTransfer.files.length) ofFiles(dataTransfer.files);
    else complain("What was dropped is no file.");
  });
  const camera = find("#camera");
  camera.addEventListener("click", () => openCamera(find("#viewfinder"), camera, {
    take: (read) => take([{ name: "the camera's picture", read }]),
    fail: complain,
  }));
}

/** Fills in what differs from model to model. */
function describe({ about }) {
  document.title = about.title;
  find("h1").textContent = about.title;
  find("#description").textContent = about.description;
  find("#network").textContent = `Network: ${about.network}, trained by ${about.method}.`;
  find("#reading").textContent = about.reading;
  if (!about.detector) {
    whole.checked = whole.disabled = true;
    find("#whole-note").textContent = "This page has no face detector.";
  } else if (about.alignment.kind === "none") {
    find("#whole-note").textContent = "The model does not say how its training pictures were cut " +
      "out; faces are cut out by their box.";
  }
}

async function start() {
  // Else the browser would open a picture that is dropped in the page's place.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => event.preventDefault());
  }
  find("#unstarted").remove();
  find("main").hidden = false;
  try {
    model = await load(say);
  } catch (error) {
    say("");
    fail(error.message);
    return;
  }
  describe(model);
  listen();
  document.querySelectorAll("main button").forEach((button) => (button.disabled = false));
  say("Ready.");
}

start();
