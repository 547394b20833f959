"""Run the continual-learning benchmark: `cd bench && python -m continual`.

Digits need nothing but scikit-learn. Other suites read the files of --data (see
`continual/local_suites.py` for their names). Runs that are in the results already are skipped, so
an interrupted benchmark goes on where it stopped.

`--shares 0.3 0.6 --orders ABC` runs the rules once more for each share, without a cap on ranks: how
accuracy follows from the size.
"""

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import torch
from tqdm import tqdm

from continual.methods import METHODS, RULES, run
from continual.suites import DIGITS, SUITES, order_of

DEFAULT = [name for name in METHODS if name != "reshape"]
RESULTS = Path(__file__).parents[2] / "docs" / "results" / "continual"


def main(arguments=None):
    """Parse the command line and run what is missing."""
    parser = argparse.ArgumentParser(prog="continual", description=__doc__)
    parser.add_argument("--suites", nargs="+", choices=SUITES, default=DIGITS)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=DEFAULT)
    parser.add_argument("--orders", default="ABCDE", help="letters of A to E")
    parser.add_argument("--shares", nargs="+", type=float, default=[], help="see above")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, help="instead of the suite's; for a quick look")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of local files")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of results")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    for name in options.suites:
        run_suite(name, options)


def run_suite(name, options):
    """Run all methods of a suite; one file of results, written after every run."""
    suite = with_epochs(SUITES[name], options.epochs)
    tasks = suite.tasks() if name in DIGITS else suite.tasks(options.data)
    path = options.out / f"{name.replace('/', '-')}.json"
    results = read(path, about(name, suite, tasks, options.seed))
    todo = [key for key in wanted_runs(options) if key not in results["runs"]]
    with tqdm(total=len(todo), desc=name, unit="run") as bar:
        for key in todo:
            kind, order = key.split("/")
            method, _, share = kind.partition("@")
            matched = results["runs"].get(key.replace("flat", "halrp"))
            if method == "flat" and matched is None:
                tqdm.write(f"{name}: {key} needs the run of HALRP with this share; left out")
                continue

            def step(task, key=key):
                bar.set_postfix_str(f"{key}, task {task}")

            results["runs"][key] = run(
                method,
                with_share(suite, share),
                tasks,
                order_of(order, len(tasks)),
                options.seed,
                torch.device(options.device),
                step,
                None if matched is None else matched.get("ranks"),
            )
            write(path, results)
            bar.update()


def wanted_runs(options):
    """Names of runs: "method/order", or "method@share/order"."""
    methods = sorted(options.methods, key=list(METHODS).index)  # HALRP before flat
    if options.shares:
        kinds = [f"{rule}@{share:g}" for share in options.shares for rule in RULES]
        return [f"{kind}/{order}" for kind in kinds for order in options.orders]
    return [
        f"{method}/{order}"
        for method in methods
        for order in (options.orders if METHODS[method].uses_order else "A")
    ]


def with_share(suite, share):
    """Change the share, and lift the cap on ranks; as it is without a share."""
    if not share:
        return suite
    settings = replace(suite.settings, share=float(share), max_rank=None)
    return replace(suite, settings=settings)


def with_epochs(suite, epochs):
    """Change the number of epochs, and the warm-up with it."""
    if epochs is None:
        return suite
    warmup = min(suite.settings.warmup_epochs, max(epochs - 1, 0))
    return replace(suite, settings=replace(suite.settings, epochs=epochs, warmup_epochs=warmup))


def about(name, suite, tasks, seed):
    """What runs must share to stand in one table."""
    return {
        "suite": name,
        "network": suite.network,
        "batch_size": suite.batch_size,
        "settings": asdict(suite.settings),
        "seed": seed,
        "tasks": [task.name for task in tasks],
        "train_images": [len(task.train) for task in tasks],
        "test_images": [len(task.test) for task in tasks],
    }


def read(path, wanted):
    """Results so far; an error if they were made with other settings."""
    if not path.exists():
        return {"about": wanted, "runs": {}}
    found = json.loads(path.read_text())
    if found["about"] != wanted:
        differ = [key for key in wanted if found["about"].get(key) != wanted[key]]
        msg = f"{path}: was made with other {', '.join(differ)}, want another --out"
        raise SystemExit(msg)
    return found


def write(path, results):
    """Replace the file in one step; each run has one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = json.loads(json.dumps(results), parse_float=lambda s: round(float(s), 6))
    runs = (f"{json.dumps(key)}: {json.dumps(run)}" for key, run in rounded["runs"].items())
    about = json.dumps(rounded["about"])
    beside = path.with_suffix(f".{os.getpid()}.part")
    beside.write_text(f'{{"about": {about},\n"runs": {{\n' + ",\n".join(runs) + "\n}}\n")
    beside.replace(path)


if __name__ == "__main__":
    main()
