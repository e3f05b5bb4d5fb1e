// The camera: shows what it sees until a picture is taken or it is stopped.

import { pixelsOf } from "./pictures.js";

const REASONS = {
  NotAllowedError: "The camera was refused: allow it for this page in the browser's settings.",
  NotFoundError: "There is no camera.",
  NotReadableError: "The camera is in use by another program.",
};

let asking = false; // While the browser asks whether the camera may be used.

/**
 * Opens the camera into an element with a video and two buttons, at a call of the button `opener`.
 *
 * `take` gets a function that resolves to a picture's pixels; `fail` gets a line on what is wrong.
 */
export async function open(viewfinder, opener, { take, fail }) {
  const video = viewfinder.querySelector("video");
  const [shutter, stop] = viewfinder.querySelectorAll("button");
  if (asking || !viewfinder.hidden) return;
  if (!navigator.mediaDevices) {
    fail("The camera works over https or on localhost only.");
    return;
  }
  let stream;
  asking = true;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch (error) {
    fail(REASONS[error.name] ?? `The camera cannot be used (${error.message}).`);
    return;
  } finally {
    asking = false;
  }
  const close = () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    viewfinder.hidden = true;
    opener.focus();
  };
  stream.getVideoTracks()[0].onended = () => {
    close();
    fail("The camera has been disconnected.");
  };
  shutter.onclick = () => {
    const picture = pixelsOf(video, video.videoWidth, video.videoHeight);
    take(async () => picture);
  };
  stop.onclick = close;
  shutter.disabled = true;
  video.onloadeddata = () => {
    shutter.disabled = false;
    shutter.focus({ preventScroll: true });
    viewfinder.scrollIntoView({ block: "nearest" });
  };
  video.srcObject = stream;
  viewfinder.hidden = false;
}
