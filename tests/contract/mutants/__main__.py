"""`make mutants`: lets the kit judge every wrong server, and prints the mutation score.

`ARGS="name …"` chooses mutants, `ARGS=--quick` leaves out the whole runs about those that their own requirements
do not catch, `SEED=…` repeats a run.
"""

from __future__ import annotations

import os
import sys
import time

from tests.contract.mutants.scoring import CAUGHT, MUTANTS, NAMED, Score, score


def main() -> int:
    """Returns 1 when the score is too low."""
    named = [argument for argument in sys.argv[1:] if argument != "--quick"]
    chosen = [one for name, one in MUTANTS.items() if not named or name in named]
    seed = int(os.environ.get("OPENHANDS_TEST_SEED") or 1)
    verdicts = []
    began = time.monotonic()
    for verdict in score(chosen, seed, wholly="--quick" not in sys.argv):
        verdicts.append(verdict)
        mark = "named" if verdict.named else "caught" if verdict.caught else "MISSED"
        print(f"{time.monotonic() - began:6.1f} s  {mark:<7} {verdict.mutant.name}", flush=True)
    result = Score(verdicts)
    print(*result.lines(), sep="\n")
    return 0 if result.caught >= CAUGHT and result.named >= NAMED else 1


if __name__ == "__main__":
    sys.exit(main())
