"""All-Age-Faces: every method on frozen features, six from scratch, two fine-tuned, and the peers.

The authors' own split, with what their test part shares with training left out of training.

    python -m launch.benchmark --config=configs/benchmarks/aaf.py --workdir=runs/aaf \\
        --config.data.root=DIR --config.weights=faceres-deep.json --config.peers.root=DIR

The files of `peers.files` lie in `peers.root`. --only=frozen, scratch, finetune or peers does one
part; --minutes=60 stops after an hour, and the same command goes on.
"""

import ml_collections

from configs.recipes import comparison
from ldl_jax.run import benchmark


def get_config() -> ml_collections.ConfigDict:
    """Returns the benchmark's config."""
    config = of_whole_pictures()
    comparison.over_crops(config.parts.frozen)
    comparison.of_layers(config.parts.frozen)
    return config


def of_whole_pictures() -> ml_collections.ConfigDict:
    """Returns the benchmark's config, with answers that look at each picture once and mirrored."""
    config = benchmark.defaults()
    config.title = "All-Age-Faces"
    config.metrics = comparison.AGES
    config.data.name = "aaf"
    config.data.protocol = "official"
    config.data.leaks = "drop_train"
    config.parts.frozen = comparison.on_features("aaf", seeds=10)
    config.parts.scratch = comparison.from_scratch("aaf", seeds=3)
    config.parts.scratch.run.data.crop = 0.75  # the release's margin around a face is wide
    config.parts.finetune = comparison.fine_tuned("aaf", seeds=3)
    for name in ("frozen", "finetune"):
        config.parts[name].run.data.square = True  # the pictures are higher than wide
    config.order = ("frozen", "finetune", "scratch")
    config.peers.files = {
        "HSE-FaceRes": "faceres-deep.json",
        "dlib": "age-v1.onnx",
        "face-api": "age_gender_model-weights_manifest.json",
        "SSR-Net, MegaAge-Asian": "megaage_asian.h5",
        "SSR-Net, IMDB": "imdb.h5",
    }
    return config
