// Shows the answers for a picture: where its faces are, each one's value, interval and distribution.

import { canvasOf } from "./pictures.js";
import { resize } from "./resample.js";

const SHOWN = 1280; // Pixels of the longer side of a picture that is shown.
const NOTABLE = 0.0005; // The least probability that the table of numbers has.

/** Makes an element with properties and children. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const shortest = (x) => String(Number(x.toPrecision(6)));
const percent = (x) => `${(100 * x).toFixed(1)} %`;

/** Returns a value as text, with as many digits as its label space deserves. */
export function valueText(value, about) {
  return value.toFixed(about.high - about.low >= 10 ? 1 : 2);
}

/** Returns what stands before a value, and what after it: a score's unit is its name. */
const around = ({ unit }) => (unit === "years" ? ["", " years"] : [`${unit} `, ""]);

/**
 * Returns an interval as text, or "" where the model has none. A calibrated one holds a share of the
 * labels of such pictures; another one a share of the distribution, as the model claims it.
 */
function intervalText({ low, high }, about) {
  if (low === null) return "";
  const share = `${Math.round(100 * about.coverage)} %`;
  const claim = about.calibrated ? `calibrated for ${share} of such pictures` : `${share} by its own claim`;
  return `${claim}: between ${shortest(low)} and ${shortest(high)}${around(about)[1]}`;
}

/** Returns the answers for a picture as one sentence or a few, to be read out. */
export function spoken(name, answers, about) {
  const faces = answers.map((answer, index) => {
    const number = answers.length > 1 ? `Face ${index + 1}: ` : "";
    const value = around(about).join(valueText(answer.value, about));
    const interval = intervalText(answer, about);
    return `${number}${value}${interval && `, ${interval}`}.`;
  });
  return `${name}: ${answers.length === 1 ? "1 face" : `${answers.length} faces`}. ${faces.join(" ")}`;
}

/** Returns the element of a picture's answers; `faces` are those found, null where it is the face. */
export function resultOf(name, image, faces, crops, answers, about) {
  const title = element("h3", { textContent: name });
  const list = element("ol", { className: "faces" });
  list.setAttribute("role", "list"); // Without its numbers, some browsers take it for none.
  answers.forEach((answer, index) => list.append(faceOf(answer, index, crops[index], about)));
  const remove = element("button", { className: "quiet", type: "button", textContent: "Remove" });
  remove.setAttribute("aria-label", `Remove ${name}`);
  const article = element("article", { className: "result" },
    element("header", {}, title, remove), pictureOf(name, image, faces ?? []), list);
  remove.addEventListener("click", () => {
    const next = article.nextElementSibling ?? article.previousElementSibling;
    (next?.querySelector("button") ?? document.querySelector("#choose")).focus();
    article.remove();
  });
  return article;
}

function pictureOf(name, image, faces) {
  const scale = Math.max(1, Math.max(image.width, image.height) / SHOWN);
  const [width, height] = [image.width, image.height].map((x) => Math.max(1, Math.round(x / scale)));
  const canvas = canvasOf(scale > 1 ? resize(image, width, height, null, 2) : image);
  canvas.setAttribute("role", "img");
  const marked = faces.length ? `, its faces marked 1 to ${faces.length}` : "";
  canvas.setAttribute("aria-label", `The picture ${name}${marked}`);
  const frame = element("div", { className: "picture" }, canvas);
  frame.style.maxWidth = `${3 * image.width}px`; // Small ones would be nothing but blur.
  faces.forEach(({ box: [left, top, right, bottom] }, index) => {
    const mark = element("span", { className: "mark", ariaHidden: "true" },
      element("b", { textContent: index + 1 }));
    Object.assign(mark.style, {
      left: `${(100 * left) / image.width}%`,
      top: `${(100 * top) / image.height}%`,
      width: `${(100 * (right - left)) / image.width}%`,
      height: `${(100 * (bottom - top)) / image.height}%`,
    });
    frame.append(mark);
  });
  return frame;
}

function faceOf(answer, index, crop, about) {
  const seen = canvasOf(crop);
  seen.setAttribute("role", "img");
  seen.setAttribute("aria-label", `Face ${index + 1} as the model takes it`);
  const [before, after] = around(about);
  const value = element("p", { className: "value" }, before,
    element("strong", { textContent: valueText(answer.value, about) }), after);
  const interval = intervalText(answer, about) || "This model gives a value alone, without interval.";
  const words = element("div", {}, element("h4", { textContent: `Face ${index + 1}` }), value,
    element("p", { className: "interval", textContent: interval }));
  const item = element("li", {}, element("div", { className: "head" }, seen, words));
  if (!about.stand_in) item.append(chartOf(answer, about), tableOf(answer, about));
  return item;
}

/** Draws a distribution as bars over the labels; those within the interval stand out. */
function chartOf(answer, about) {
  const { labels } = about;
  const { edges, across, marks } = about.grouped ? groupScale(about) : labelScale(about);
  const most = Math.max(...answer.probs);
  const svg = drawn("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none",
    "aria-hidden": "true" });
  labels.forEach((label, i) => {
    const inside = label >= answer.low && label <= answer.high;
    const height = (100 * answer.probs[i]) / most;
    const [left, right] = [edges[i], edges[i + 1]];
    const gap = Math.min(2, (right - left) / 5);
    svg.append(drawn("rect", { class: inside ? "in" : "out", x: left + gap / 2,
      y: 100 - height, width: Math.max(right - left - gap, 1), height }));
  });
  const at = Math.min(Math.max(across(answer.value), 0), 1000);
  svg.append(drawn("line", { x1: at, x2: at, y1: 0, y2: 100, "vector-effect": "non-scaling-stroke" }));
  const axis = element("div", { className: about.grouped ? "axis groups" : "axis",
    ariaHidden: "true" });
  for (const [at, text] of marks) {
    const name = element("span", { textContent: text });
    name.style.left = `${at / 10}%`;
    if (at < 20) name.className = "first"; // Else it would reach over the edge.
    if (at > 980) name.className = "last";
    axis.append(name);
  }
  const likeliest = about.names[answer.probs.indexOf(most)];
  const chart = element("div", { className: "chart" }, svg, axis);
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", `Distribution from ${shortest(about.low)} to ` +
    `${shortest(about.high)} ${about.unit}: the likeliest is ${likeliest}, with ${percent(most)}`);
  return chart;
}

/**
 * Returns the scale of a grid of labels, from 0 to 1000: the edges of the bars, the place of a
 * value, and the marks below. A bar reaches half-way to the next label on either side.
 */
function labelScale({ labels, low, high }) {
  const across = (value) => (1000 * (value - low)) / (high - low);
  const between = labels.slice(1).map((label, i) => across((labels[i] + label) / 2));
  const marks = ticks(low, high).map((tick) => [across(tick), shortest(tick)]);
  return { edges: [0, ...between, 1000], across, marks };
}

/** Returns the same for groups: their bars are equally wide, so that areas are probabilities. */
function groupScale({ labels, names }) {
  const wide = 1000 / labels.length;
  const across = (value) => {
    const next = labels.findIndex((label) => label > value);
    if (next <= 0) return wide / 2 + (next ? 1000 - wide : 0);
    const part = (value - labels[next - 1]) / (labels[next] - labels[next - 1]);
    return (next - 0.5 + part) * wide;
  };
  const marks = names.map((name, i) => [(i + 0.5) * wide, name]);
  return { edges: [...labels.map((_, i) => i * wide), 1000], across, marks };
}

/** Returns about five round numbers from low to high. */
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: count }, (_, index) => (first + index) * step);
}

/** Returns a table of the probabilities, folded away: the chart for those who cannot see it. */
function tableOf(answer, about) {
  const rows = about.names
    .map((name, index) => [name, answer.probs[index]])
    .filter(([, share]) => share >= NOTABLE)
    .map(([name, share]) => element("tr", {}, Object.assign(element("th", { textContent: name }),
      { scope: "row" }), element("td", { textContent: percent(share) })));
  const head = element("tr", {}, ...[about.unit, "probability"].map((name) =>
    Object.assign(element("th", { textContent: name }), { scope: "col" })));
  const table = element("table", {}, element("caption", { textContent:
    "Probabilities of at least 0.05 %" }), element("thead", {}, head),
    element("tbody", {}, ...rows));
  const box = element("div", { className: "numbers", tabIndex: 0 }, table);
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Probabilities");
  return element("details", {}, element("summary", { textContent: "The numbers" }), box);
}
