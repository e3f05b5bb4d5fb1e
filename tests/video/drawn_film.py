"""Films of moving faces, drawn and encoded here, and a detector that finds those faces."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from ldl_jax.data.align import TEMPLATE, Face

SIZE = (160, 120)
SIDE = 28  # of a face


def face_at(index, start=(10, 20), step=(2, 1)):
    """Returns the corner of a face in a frame."""
    return start[0] + step[0] * index, start[1] + step[1] * index


def draw_frame(index, faces, size=SIZE, backdrop=(10, 20, 60), gone=()):
    """Draws the faces (seed, start, step) of a frame: red textures on blue."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:] = backdrop
    for number, (seed, start, step) in enumerate(faces):
        if (number, index) in gone:
            continue
        x, y = face_at(index, start, step)
        cells = np.random.default_rng(seed).integers(0, 60, (7, 7, 3)) + np.array([190, 20, 20])
        texture = cells.repeat(4, axis=0).repeat(4, axis=1).astype(np.uint8)
        part = texture[max(0, -y) : size[1] - y, max(0, -x) : size[0] - x]
        pixels[max(0, y) : max(0, y) + part.shape[0], max(0, x) : max(0, x) + part.shape[1]] = part
    return pixels


ONE = [(1, (10, 20), (2, 1))]
TWO = [(1, (10, 10), (2, 0)), (2, (110, 60), (-2, 0))]  # they pass each other


def encode(
    path: Path,
    frames,
    *,
    codec="libx264",
    fps=25,
    times=None,
    pix_fmt="yuv420p",
    options=None,
    container=None,
    sound=False,
    shape=None,
    key_every=250,
):
    """Encodes frames [H, W, 3] into a film; `times` are seconds, by default of `fps`."""
    import av

    ticks = 12_800
    with av.open(str(path), "w", options=container or {}) as file:
        rate = Fraction(fps).limit_denominator(1001)
        preset = {"preset": "ultrafast", "crf": "10"} if codec == "libx264" else {}
        stream = file.add_stream(codec, rate=rate, options=preset | (options or {}))
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = Fraction(1, ticks)
        stream.codec_context.gop_size = key_every
        if shape is not None:
            stream.codec_context.sample_aspect_ratio = shape
        audio = file.add_stream("aac", rate=16_000) if sound else None
        for index, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            if pix_fmt == "gray":  # from 16 for black to 235 for white, as films have it
                grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
                grey = np.round(16 + grey * 219 / 255).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(grey, format="gray")
            seconds = index / fps if times is None else times[index]
            frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if audio is not None:
            wave = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            wave.rate, wave.pts, wave.time_base = 16_000, 0, Fraction(1, 16_000)
            file.mux(audio.encode(wave))
            file.mux(audio.encode(None))
    return path


def film(path: Path, count=30, faces=ONE, gone=(), **keywords):
    """Draws and encodes a film."""
    return encode(path, [draw_frame(i, faces, gone=gone) for i in range(count)], **keywords)


def frames_of(path: Path):
    """Returns the frames of a film as arrays, with their seconds."""
    import av

    with av.open(str(path)) as file:
        return [(f.to_ndarray(format="rgb24"), float(f.time)) for f in file.decode(video=0)]


def detector(least=60):
    """Makes a detector of what is red: `tests.video.drawn_film:detector`."""

    def detect(image: Image.Image) -> list[Face]:
        assert image.mode == "RGB"
        pixels = np.asarray(image).astype(int)
        labels, _ = ndimage.label(pixels[..., 0] - pixels[..., 2] > 60)
        faces = []
        for rows, columns in ndimage.find_objects(labels):
            left, top, right, bottom = columns.start, rows.start, columns.stop, rows.stop
            if (right - left) * (bottom - top) >= least:
                middle = [(left + right) / 2, (top + bottom) / 2]
                points = TEMPLATE * (right - left) + middle
                faces.append(Face(tuple(map(float, (left, top, right, bottom))), points))
        return faces

    return detect
