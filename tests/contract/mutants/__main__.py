"""`make mutants`: lets the kit judge every wrong server, and prints the mutation score; `SEED=…` repeats a run."""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from tests.contract.mutants.scoring import CAUGHT, MUTANTS, NAMED, Mutant, Score, needs_a_whole_run, score


def main() -> int:
    """Returns 1 when the score is too low."""
    arguments = _arguments()
    chosen = [one for name, one in MUTANTS.items() if name in (arguments.names or MUTANTS)]
    left_out = [one for one in chosen if arguments.quick and needs_a_whole_run(one)]
    result = _judge([one for one in chosen if one not in left_out], wholly=not arguments.quick)
    print(*result.lines(), sep="\n")
    if left_out:
        names = ", ".join(mutant.name for mutant in left_out)
        print(f"{len(left_out)} more are caught by whole runs only, which --quick leaves out: {names}")
    return 0 if not result.verdicts or (result.caught >= CAUGHT and result.named >= NAMED) else 1


def _arguments() -> Namespace:
    parser = ArgumentParser("python -m tests.contract.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="judge this mutant only; all by default")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="only what checks of the broken requirements show; leaves out whole runs, and what needs one",
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - MUTANTS.keys()):
        parser.error(f"there is no mutant called {', '.join(unknown)}")
    return arguments


def _judge(mutants: Sequence[Mutant], *, wholly: bool) -> Score:
    verdicts, began = [], time.monotonic()
    for verdict in score(mutants, int(os.environ.get("OPENHANDS_TEST_SEED") or 1), wholly=wholly):
        verdicts.append(verdict)
        mark = "named" if verdict.named else "caught" if verdict.caught else "MISSED"
        print(f"{time.monotonic() - began:6.1f} s  {mark:<7} {verdict.mutant.name}", flush=True)
    return Score(verdicts)


if __name__ == "__main__":
    sys.exit(main())
