"""`make mutants`: lets the kit judge every wrong server, and prints the mutation score.

`ARGS="name …"` chooses mutants, `SEED=…` repeats a run.
"""

from __future__ import annotations

import os
import sys
import time

from tests.contract.mutants.scoring import CAUGHT, MUTANTS, NAMED, Score, score


def main() -> int:
    """Returns 1 when the score is too low."""
    chosen = [one for name, one in MUTANTS.items() if not sys.argv[1:] or name in sys.argv[1:]]
    seed = int(os.environ.get("OPENHANDS_TEST_SEED") or 1)
    verdicts = []
    began = time.monotonic()
    for verdict in score(chosen, seed):
        verdicts.append(verdict)
        mark = "named" if verdict.named else "caught" if verdict.caught else "MISSED"
        print(f"{time.monotonic() - began:6.1f} s  {mark:<7} {verdict.mutant.name}", flush=True)
    result = Score(verdicts)
    print(*result.lines(), sep="\n")
    return 0 if result.caught >= CAUGHT and result.named >= NAMED else 1


if __name__ == "__main__":
    sys.exit(main())
