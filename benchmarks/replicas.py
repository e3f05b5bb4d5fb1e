"""Measures images/s of R runs that are trained together in one program, and one after another.

    python -m benchmarks.replicas [--runs 8] [--networks ssrnet resnet10_tiny] [--batch 50]
        [--repeats 5]

"Together" and "one by one" are the ways in which `launch.main` trains a sweep of seeds, with the
pictures on the device and augmentation and the log's scalars included. "Scanned" trains the runs
one after the other inside one program (`lax.map`). On several devices "together" gives each device
its share of the runs, and "one by one" splits every batch over all. The last column is what
`replicas="auto"` takes on this machine.

On two cores (jax 0.10, float32, R = 8, batches of 50) "together" had 0.56 of the speed of "one by
one" for SSR-Net and 0.34 for ResNet10-Tiny, and "scanned" 0.14 and 0.04. Convolutions of several
runs become grouped ones, which are slow on CPUs, and so are those inside a loop. Therefore CPUs
train one by one; on other devices a trial like this one decides when a sweep starts.
"""

from collections.abc import Callable, Sequence

import jax

from benchmarks import printing, timing
from ldl_jax.processes.memory import keep_freed
from ldl_jax.run import config as schema
from ldl_jax.run import experiment
from ldl_jax.train import programs
from ldl_jax.train.state import TrainState
from ldl_jax.train.together import replicas
from ldl_jax.train.together.group import Replica, Replicas

METHODS = {"ssrnet": "ssr", "resnet10_tiny": "cen"}
COLUMNS = "network|runs:|batch:|one by one:|together:|scanned:|together / one by one:|auto"


def group_of(network: str, runs: int, batch: int) -> Replicas:
    """Builds a group of runs that differ in their seed, on drawn faces of 64x64."""
    config = schema.defaults()
    config.data.synthetic_count = max(64, batch * 2)
    config.data.size = 64
    config.data.space = "age"
    config.model.name, config.method.name = network, METHODS[network]
    config.batch_size = config.evaluation.batch_size = batch
    config.chain.generations = 1
    built: experiment.Experiment | None = None
    members = []
    for seed in range(runs):
        config.seed = seed
        built = experiment.build(schema.parse(config), lambda text: None, like=built)
        members.append(Replica(f"seed={seed}", built.job, {}))
    job = members[0].job
    devices = tuple(job.placement.replicated.mesh.devices.flat)
    return Replicas(tuple(members), experiment.rebuild(schema.parse(config), job), devices)


def scanned(group: Replicas) -> Callable[[], object]:
    """Returns a step of all runs, one after the other in one program."""
    jobs = [replica.job for replica in group.replicas]
    run_step, store = group.step(jobs[0]), jobs[0].data.train.store
    draw = programs.drawing(jobs[0])
    firsts = [programs.first_state(job, 1, None, draw) for job in jobs]
    states = jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *firsts)
    items = jax.numpy.stack([job.order(1)[0] for job in jobs])

    def step_all(
        states: TrainState, store: dict[str, jax.Array], items: jax.Array
    ) -> tuple[TrainState, dict[str, jax.Array]]:
        return jax.lax.map(lambda run: run_step(run[0], None, store, run[1], {}), (states, items))

    step = jax.jit(step_all, donate_argnums=0)

    def call() -> object:
        nonlocal states
        states, scalars = step(states, store, items)
        return scalars

    return call


def row(network: str, runs: int, batch: int, repeats: int) -> str:
    """Times the three ways for a network and returns its row of the table."""
    group = group_of(network, runs, batch)
    steps = replicas.trials(group) | {"scanned": scanned(group)}

    def repeated(name: str) -> timing.Run:
        times = runs if name == "alone" else 1

        def run(count: int) -> None:
            jax.block_until_ready([steps[name]() for _ in range(count * times)])

        return run

    times = timing.in_turns({name: repeated(name) for name in steps}, repeats)
    rates = {name: f"{runs * batch / timed.median:.0f}" for name, timed in times.items()}
    gain = times["alone"].over(times["together"])
    auto = "together" if jax.default_backend() != "cpu" and gain > 1 else "one by one"
    measured = [rates[way] for way in ("alone", "together", "scanned")]
    return printing.line([network, str(runs), str(batch), *measured, f"{gain:.2f}", auto])


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table in images/s, a row as soon as it is measured."""
    parser = printing.parser("replicas", __doc__)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--networks", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--batch", type=int, default=50, help="pictures of a run")
    parser.add_argument("--repeats", type=int, default=5, help="turns; slow steps take fewer")
    options = parser.parse_args(arguments)
    keep_freed()  # as the training command does
    print(f"{printing.device()}, {jax.device_count()} devices; jax {jax.__version__}; images/s\n")
    print(printing.head(COLUMNS), flush=True)
    for network in options.networks:
        print(row(network, options.runs, options.batch, options.repeats), flush=True)


if __name__ == "__main__":
    main()
