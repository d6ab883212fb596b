"""Run the benchmarks: `python -m benchmarks [--smoke] [--json FILE] [--only NAME]`.

Exits with 1 if a figure is beyond its goal by more than half; a goal missed by less is marked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import calls, double, imports, ready, suite
from benchmarks.figures import Figure, table


@dataclass(frozen=True)
class Benchmark:
    """A measurement, and how often it is repeated in a full and in a short run."""

    measure: Callable[[int], list[Figure]]
    repeat: int
    repeat_smoke: int


BENCHMARKS = {
    "calls": Benchmark(calls.measure, 3000, 400),
    "imports": Benchmark(imports.measure, 21, 5),
    "ready": Benchmark(ready.measure, 15, 3),
    "embedded": Benchmark(double.measure_embedded, 50, 5),
    "serve": Benchmark(double.measure_serve, 9, 3),
    "suite": Benchmark(suite.measure, 200, 20),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a short run, to see that everything works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--only", choices=BENCHMARKS, help="run only this one")
    options = parser.parse_args()

    # A proxy of the machine must not come between a client and its own loopback address.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

    figures: list[Figure] = []
    for name, benchmark in BENCHMARKS.items():
        if options.only in (None, name):
            figures += benchmark.measure(benchmark.repeat_smoke if options.smoke else benchmark.repeat)
    print(table(figures))
    if options.json:
        document = [figure.to_dict() for figure in figures]
        options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    return 0 if all(figure.acceptable for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
