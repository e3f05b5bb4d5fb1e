"""SSR-Net in Keras, the other side of `benchmarks.peers`, which starts this file by itself.

    python benchmarks/keras_ssrnet.py WEIGHTS.npz

It has the layers and names of the authors' network (Yang et al., "SSR-Net", IJCAI 2018) and runs in
an environment with Keras and TensorFlow alone (`make bench-peers`). It reads one JSON object a line
and answers each with one: {"step": "train" or "infer", "batch": 50, "calls": 3} by {} once the
calls have ended, and {"step": "answer", "images": PATH} by {"ages": [...]}.
"""

import json
import sys

import keras
import numpy as np
import tensorflow as tf
from keras import layers

SIDE, BINS = 64, (3, 3, 3)
RANGE = 101  # V, the ages 0 to 100


def block(x: keras.KerasTensor, channels: int, index: int, activation: str) -> keras.KerasTensor:
    """Convolves, normalises and activates, in the names that Keras gave the authors' layers."""
    x = layers.Conv2D(channels, 3, name=f"conv2d_{index}")(x)
    norm = layers.BatchNormalization(-1, 0.99, 1e-3, name=f"batch_normalization_{index}")
    x = norm(x)
    return layers.Activation(activation)(x)


def stream(
    images: keras.KerasTensor,
    channels: int,
    first: int,
    activation: str,
    pooling: type[layers.Layer],
) -> list[keras.KerasTensor]:
    """Returns the outputs of a stream's four blocks, the first three pooled."""
    outputs: list[keras.KerasTensor] = []
    x = images
    for index in range(first, first + 4):
        x = block(x, channels, index, activation)
        x = pooling(2)(x) if index < first + 3 else x
        outputs.append(x)
    return outputs


def network() -> keras.Model:
    """Builds the network: pictures [B, 64, 64, 3] to ages [B]."""
    images = keras.Input((SIDE, SIDE, 3))
    of_x = stream(images, 32, 1, "relu", layers.AveragePooling2D)
    of_s = stream(images, 16, 5, "tanh", layers.MaxPooling2D)
    age, width = 0.0, float(RANGE)
    for k, bins in enumerate(BINS, start=1):
        position, pool = (3, 1) if k == 1 else (3 - k, 2**k)
        s = layers.Conv2D(10, 1, activation="relu", name=f"conv2d_{7 + 2 * k}")(of_s[position])
        x = layers.Conv2D(10, 1, activation="relu", name=f"conv2d_{8 + 2 * k}")(of_x[position])
        if pool > 1:
            s, x = layers.MaxPooling2D(pool)(s), layers.AveragePooling2D(pool)(x)
        s, x = layers.Flatten()(s), layers.Flatten()(x)
        both = layers.Multiply()([s, x])
        delta = layers.Dense(1, activation="tanh", name=f"delta_s{k}")(both)[:, 0]
        dense = [
            layers.Dense(bins, activation="relu", name=f"dense_{3 * k - 2 + i}")(
                layers.Dropout(0.2)(y)
            )
            for i, y in enumerate((s, x))
        ]
        mixed = layers.Dense(2 * bins, activation="relu", name=f"dense_{3 * k}")(
            layers.Multiply()(dense)
        )
        probs = layers.Dense(bins, activation="relu", name=f"pred_age_stage{k}")(mixed)
        offsets = layers.Dense(bins, activation="tanh", name=f"local_delta_stage{k}")(mixed)
        width = width / (bins * (1.0 + delta))
        index = np.arange(bins, dtype=np.float32)
        age = age + width * keras.ops.sum(probs * (offsets + index), axis=-1)
    return keras.Model(images, age)


def load(model: keras.Model, path: str) -> None:
    """Sets all weights from a file whose arrays have the names of Keras' HDF5 files."""
    arrays = np.load(path)
    left = set(arrays.files)
    for layer in model.layers:
        for weight in layer.weights:
            name = f"{layer.name}/{layer.name}/{weight.name}:0"
            weight.assign(arrays[name])
            left.remove(name)
    assert not left, left


def main() -> None:
    """Answers the lines of standard input until it ends."""
    model = network()
    load(model, sys.argv[1])
    # Compiled by XLA, as Keras would, it is slower on CPUs.
    model.compile(keras.optimizers.Adam(1e-3, epsilon=1e-8), loss="mae", jit_compile=False)
    predict = tf.function(lambda images: model(images, training=False))
    model.make_train_function()  # what `fit` calls for each batch, without its callbacks
    images, batches = {}, {}
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {}
        if asked["step"] == "answer":
            pictures = tf.constant(np.load(asked["images"]))
            answer["ages"] = predict(pictures).numpy().tolist()
        else:
            batch = asked["batch"]
            if batch not in images:
                images[batch] = tf.random.uniform((batch, SIDE, SIDE, 3), 0, 255)
                ages = tf.random.uniform((batch,), 0, 100)
                batches[batch] = iter(tf.data.Dataset.from_tensors((images[batch], ages)).repeat())
            if asked["step"] == "train":
                for _ in range(asked["calls"]):
                    logs = model.train_function(batches[batch])
                float(logs["loss"])
            else:
                for _ in range(asked["calls"]):
                    result = predict(images[batch])
                result.numpy()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
