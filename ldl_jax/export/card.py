"""The model card: what a model is, what it learnt from, how good it is, and what it is not for.

It is Markdown with the YAML head that the Hugging Face hub reads. What the run's files do not say
is said to be not known.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from ldl_jax import __version__
from ldl_jax.data.augment.looks import Crops, shares
from ldl_jax.data.datasets import catalogue
from ldl_jax.evaluation.cells import markdown, plain
from ldl_jax.export import card_results, run_facts
from ldl_jax.export.run_facts import UNKNOWN, RunFacts
from ldl_jax.files import to_home
from ldl_jax.labels import LabelSpace
from ldl_jax.predict.one_file import Notes
from ldl_jax.predict.predictor import Predictor

_DRAWN = "drawn by this library, of nobody"  # the licence of synthetic faces
INTERVALS = "Intervals"  # the heading of what they promise
_NOT_FOR = """\
- **Decisions about people.** An estimate of how a face looks proves neither an age nor anything
  else about a person: it must not grant or refuse access, work, credit, insurance, asylum or
  treatment, nor serve policing or surveillance, nor tell people apart.
- Faces that differ from those it learnt from: other ages, groups of people, cameras, poses, light,
  masks or make-up. Its errors there are not known, and may be much larger.
- Pictures of people who have not agreed to it, where the law or decency ask for that."""


def notes_of(predictor: Predictor, path: Path) -> Notes:
    """Returns a model's card, and what its file keeps beside it.

    Args:
      predictor: the model.
      path: what it was loaded from. Of a run, or a checkpoint in one, the run's files are read;
        the notes of a model file stay as they are, but for what they say of its intervals.

    Raises:
      ValueError: a file of the run is damaged.
    """
    if predictor.notes.card:
        text_now = with_intervals(predictor.notes.card, predictor)
        return dataclasses.replace(predictor.notes, card=text_now)
    facts = run_facts.read(path, predictor.about.generation)
    try:
        return Notes(text(predictor, facts), _licences(facts), tuple(_data_lines(facts)))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f"{path}: the files of its run are not as a run writes them ({error!r}), so there is "
            "no card"
        ) from error


def text(predictor: Predictor, facts: RunFacts) -> str:
    """Returns the card, in Markdown, of a model and what is known of its run."""
    space = predictor.space
    what = "identities" if space.unit == "identity" else f"{space.unit} from {_range(space)}"
    network, method = (str(x["name"]) for x in (predictor.about.model, predictor.about.method))
    sections = {
        "": _about(predictor),
        "Intended use": (
            "Research on label distribution learning; estimates for many pictures together, where "
            "the intervals are kept; as a starting point for training.\n\nIt is not for:\n\n"
            + _NOT_FOR
        ),
        "Data": "\n".join(f"- {line}" for line in _data_lines(facts)),
        "Results": card_results.results(facts),
        "By group of people": card_results.groups(facts),
        "By label": card_results.labels(facts),
        "Calibration": card_results.calibration(facts),
        INTERVALS: _intervals(predictor),
        "Pictures": _pictures(predictor),
        "Training": _training(predictor, facts),
        "Software": _software(facts),
    }
    title = f"# {markdown(network)} with {markdown(method)}: {markdown(what)}"
    parts = [_head(facts, network, method, space.unit), title]
    for heading, content in sections.items():
        parts.append(f"## {heading}\n\n{content}" if heading else content)
    return "\n\n".join(parts) + "\n"


def with_intervals(text: str, predictor: Predictor) -> str:
    """Returns a card that says what its model's intervals promise now.

    A model may have been calibrated after its card was written, or be exported without that. Of a
    card of somebody's own, without that section, nothing is changed where there is no calibration.
    """
    before, heading, rest = text.partition(f"\n## {INTERVALS}\n")
    section = f"\n## {INTERVALS}\n\n{_intervals(predictor)}\n"
    if heading:
        _, following, after = rest.partition("\n## ")
        return before + section + (f"{following}{after}")
    if predictor.about.calibration is None:
        return text
    return f"{text.rstrip()}\n{section}"


def _intervals(predictor: Predictor) -> str:
    return card_results.intervals(predictor.about.calibration, predictor.value_alone)


def _head(facts: RunFacts, network: str, method: str, unit: str) -> str:
    """Returns the YAML head, whose values are JSON's, which YAML reads."""
    topics = ["label-distribution-learning", *(["age-estimation"] if unit == "years" else [])]
    values: Mapping[str, object] = {
        "license": "other",
        "license_name": "of-the-training-pictures",
        "license_details": _licences(facts),
        "library_name": "ldl_jax",
        "pipeline_tag": "image-classification",
        "tags": [*topics, "jax", network, method],
        "metrics": ["mae"],
    }
    if (mae := facts.results.get("mae")) is not None:
        name = (_sources(facts) or [UNKNOWN])[-1]
        dataset = {"name": _title(name), "type": name, "split": "test"}
        result = {
            "task": {"type": "image-classification"},
            "dataset": dataset,
            "metrics": [{"type": "mae", "value": round(mae, 3)}],
        }
        values = {**values, "model-index": [{"name": f"{network} {method}", "results": [result]}]}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["---", *lines, "---"])


def _range(space: LabelSpace) -> str:
    kind = f"{space.size} groups" if space.bounds else f"{space.size} values"
    return f"{space.low:g} to {space.high:g} ({kind})"


def looks(flip: bool, crops: Crops) -> str:
    """Returns what an answer is the mean over, in words; "" where it looks at the picture alone."""
    seen = [
        "the picture" if share == 1 else f"the middle {share:.0%} of it" for share in shares(crops)
    ]
    if flip:
        seen.append("their mirror images" if len(seen) > 1 else "its mirror image")
    if seen == ["the picture"]:
        return ""
    *most, last = seen
    return f", averaged over {', '.join(most)} and {last}" if most else f", from {last}"


def _about(predictor: Predictor) -> str:
    about, space = predictor.about, predictor.space
    options = {name: value for name, value in about.model.items() if name != "name"}
    settings = {name: value for name, value in about.method.items() if name != "name"}
    return (
        f"For the picture of a face it answers a value in {markdown(space.unit)} and the "
        f"probability of each of {space.size} labels from {space.low:g} to {space.high:g}"
        f"{looks(about.flip, about.crops)}.\n"
        f"\n- network: {markdown(str(about.model['name']))} {markdown(json.dumps(options))}"
        f"\n- method: {markdown(str(about.method['name']))} {markdown(json.dumps(settings))}"
        f"\n- hidden layers of its head: {list(about.hidden) or 'none'}"
        f"\n- generation of the chain: {about.generation or UNKNOWN}"
    )


def _sources(facts: RunFacts) -> list[str]:
    """Returns the names of the datasets that a run was trained and tested on."""
    names = [facts.at("data.name"), facts.at("data.test.name")]
    return [name for name in names if isinstance(name, str) and name]


def _licences(facts: RunFacts) -> str:
    return " / ".join(dict.fromkeys(_licence(name) for name in _sources(facts))) or UNKNOWN


def _title(name: str) -> str:
    dataset = catalogue.DATASETS.get(name)
    return dataset.title if dataset else name


def _licence(name: str) -> str:
    if name == "synthetic":
        return _DRAWN
    dataset = catalogue.DATASETS.get(name)
    return (dataset.licence if dataset else "") or UNKNOWN


def _data_lines(facts: RunFacts) -> list[str]:
    """Returns lines on the data, its licence, the split and its leaks."""
    lines = []
    roles = ("trained on", "tested on") if len(_sources(facts)) > 1 else ("trained and tested on",)
    for role, name in zip(roles, _sources(facts), strict=False):
        dataset = catalogue.DATASETS.get(name)
        paper = f" ({dataset.paper})" if dataset and dataset.paper else ""
        described = f"{_title(name)}{paper}; licence: {_licence(name)}"
        lines.append(f"{role}: {markdown(described)}")
    if not lines:
        return [f"data: {UNKNOWN}", f"licence: {UNKNOWN}", f"split: {UNKNOWN}"]
    counts = facts.at("resolved.pictures") or {}
    shown = ", ".join(f"{count} {part}" for part, count in counts.items()) or UNKNOWN
    protocol = facts.text("resolved.protocol")
    lines += [f"pictures: {markdown(shown)}", f"split: {markdown(protocol)}"]
    if facts.at("data.audit") is False:
        lines.append("leaks between its parts: not looked for")
    elif "leaks" in protocol:
        lines.append("leaks between its parts: found, as the split's name says")
    else:
        audited = protocol != UNKNOWN
        lines.append(f"leaks between its parts: {'none found' if audited else UNKNOWN}")
    if removed := facts.split.get("removed"):
        lines.append(f"left out of training as copies of test pictures or people: {len(removed)}")
    notes = facts.split.get("notes") or []
    return [*lines, *(markdown(str(note)) for note in notes)]


def _pictures(predictor: Predictor) -> str:
    inputs, alignment = predictor.preprocessing, predictor.alignment
    kind = f"{UNKNOWN}: the training pictures came as they are"
    if alignment.kind != "none":
        kind = f"{alignment.kind}, with a margin of {alignment.margin:g} of its side"
    of = "the shorter side, a square" if inputs.square else "width and height"
    return (
        f"- how faces are cut out: {kind}\n"
        f"- resized to {inputs.stored_size} x {inputs.stored_size}, of which the network takes "
        f"{inputs.size} x {inputs.size}, after a crop to {inputs.crop:g} of {of}\n"
        f"- channels: {inputs.channels}, less {list(inputs.mean)}, divided by {list(inputs.std)}"
    )


def _training(predictor: Predictor, facts: RunFacts) -> str:
    about = predictor.about
    best = about.best
    keys = ("epochs", "batch_size", "seed", "optimizer.name", "optimizer.learning_rate")
    lines = [f"- {key}: {markdown(facts.text(key))}" for key in keys]
    start = to_home(facts.text("init.path")) if facts.at("init.path") else "fresh weights"
    lines.append(f"- began from: {markdown(start) if facts.config else UNKNOWN}")
    lines.append(f"- steps: {about.step or UNKNOWN}")
    if best is not None:
        lines.append(f"- weights of the best validation: {best.metric} {best.value:g}")
    commands = [str(start.get("command", UNKNOWN)) for start in facts.starts] or [UNKNOWN]
    shown = [f"    {plain(to_home(command))}" for command in dict.fromkeys(commands)]
    return "\n".join([*lines, "", "Command:", "", *shown])


def _software(facts: RunFacts) -> str:
    versions = facts.starts[-1].get("versions") if facts.starts else None
    trained = UNKNOWN
    if isinstance(versions, Mapping):
        trained = ", ".join(f"{name} {version}" for name, version in versions.items())
    device = str(facts.starts[-1].get("device", UNKNOWN)) if facts.starts else UNKNOWN
    return (
        f"- trained with: {markdown(trained)}\n- on: {markdown(device)}\n"
        f"- card written by: ldl_jax {__version__}"
    )
