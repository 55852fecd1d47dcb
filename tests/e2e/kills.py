#!/usr/bin/env python3
"""Kills a small pipeline at random moments, goes on with the same command, and compares everything
with an undisturbed run: output digests, metric points, parameters, statuses. A stage that was
finished before the kill is not made again.

    kills.py [COUNT] [--seed N] [--config FILE]

Each disturbance is one of: kill -9 of the worker, of the supervisor, of both, SIGTERM, Ctrl-C to
the whole group. Moments are spread over the whole length of a run; half of the disturbed runs
accumulate gradients.
"""

import argparse
import collections
import os
import random
import signal
import sys
import time

from harness import Store, TINY, workers_of

WAYS = ["worker", "supervisor", "both", "term", "ctrl-c"]
VARIANTS = {"plain": [], "accumulate": ["--set", "train.accumulate=3"]}


def disturb(process, way):
    """Sends what `way` says; whoever is gone already does not mind."""
    try:
        if way in ("worker", "both"):
            for worker in workers_of(process.pid):
                os.kill(worker, signal.SIGKILL)
        if way in ("supervisor", "both"):
            process.kill()
        if way == "term":
            process.terminate()
        if way == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)
    except ProcessLookupError:
        pass


def parameters(store):
    return store.json("runs", "show", "latest")["params"]


def finished(store):
    """The stages that are done, with the result of each and when it was made."""
    return store.query("SELECT stage, key, generation, results.attempts, published FROM run_stages "
                       "JOIN results USING (key, generation) WHERE status = 'finished' ORDER BY 1")


def undisturbed(config, extra):
    """Digests, metrics, parameters and seconds; of the second of two runs, since the first one reads the disk."""
    for _ in range(2):
        with Store() as store:
            begin = time.monotonic()
            store.run("run", config, *extra, expect=0)
            seconds = time.monotonic() - begin
            outcome = store.digests(), store.metrics(), parameters(store), seconds
    return outcome


def check_after(store, reference, config, extra):
    """The same command goes on and ends like the undisturbed run; the problems found."""
    problems = []
    before = finished(store)
    result = store.run("run", config, *extra)
    if result.code != 0:
        return [f"going on failed: {result!r}"]
    digests, metrics, params, _ = reference
    if store.digests() != digests:
        problems.append("output digests differ")
    if store.metrics() != metrics:
        problems.append(f"metrics differ:\n  {store.metrics()}\n  {metrics}")
    if parameters(store) != params:
        problems.append(f"parameters differ: {parameters(store)}")
    lost = [row for row in before if row not in finished(store)]
    if lost:
        problems.append(f"finished stages were made again: {lost}")
    rows = store.json("runs", "list")
    if len(rows) != 1:
        problems.append(f"{len(rows)} rows instead of one")
    if any(row["status"] != "FINISHED" for row in rows):
        problems.append(f"statuses {[row['status'] for row in rows]}")
    leftover = [p.name for p in (store.runs / "store/rings").iterdir()]
    if leftover:
        problems.append(f"rings left: {leftover}")
    return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("count", nargs="?", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--config", default=str(TINY))
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    references = {name: undisturbed(arguments.config, extra) for name, extra in VARIANTS.items()}
    length = max(reference[3] for reference in references.values())
    print(f"an undisturbed run takes {length:.2f} s")
    failures = 0
    caught = collections.Counter()
    begin = time.monotonic()
    for i in range(arguments.count):
        way = WAYS[i % len(WAYS)]
        variant = list(VARIANTS)[i // len(WAYS) % 2]
        extra = VARIANTS[variant]
        # Stratified: the moments cover the run evenly however few there are.
        moment = length * ((i + rng.random()) / arguments.count)
        with Store() as store:
            process = store.start("run", arguments.config, *extra)
            try:
                process.wait(moment)
            except Exception:  # Still running, as hoped for.
                disturb(process, way)
            process.communicate()
            alive = process.returncode != 0
            caught[way] += alive
            running = [r for r in store.json("runs", "list") if r["status"] == "RUNNING"]
            problems = [f"left RUNNING: {running}"] if running else []
            problems += check_after(store, references[variant], arguments.config, extra)
            if problems:
                failures += 1
                store.keep = True
                print(f"FAIL {i}: {way} after {moment:.3f} s ({variant}, exit "
                      f"{process.returncode}), kept in {store.dir}")
                for problem in problems:
                    print(f"  {problem}")
    print(f"{arguments.count} kills in {time.monotonic() - begin:.0f} s, "
          f"{sum(caught.values())} of them in mid-run ({dict(caught)}), {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
