"""What the published algorithms of index selection reach on the very data that pgadvisor is measured on: the seven that
Kossmann et al. compare ("Magic mirror in my hand, which is the best in the land?", PVLDB 2020), each with up to three columns
an index, and the best set that is known by any means. All ask the planner as often as they like.

usage: peers FOLDER DSN WORKLOAD.sql ALGORITHM[,ALGORITHM...] BUDGET_MB... [--limit SECONDS] [--from FILE]... [--write FOLDER]

FOLDER holds eval_indexes.py. Algorithms: drop, autoadmin, dta, db2advis, relaxation, cophy, extend, best_known; `all` for all.
best_known begins with the best of those before it and of the files of --from. --limit: of one algorithm at one budget.
Prints for each budget and algorithm: algorithm, budget, cost as part of what it is without indexes, size in 10^6 bytes, questions
so far, seconds. --write: each set into ALGORITHM.BUDGET.sql.
"""
import argparse
import os
import re
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1] if len(sys.argv) > 1 else "")

import best
import cophy
import greedy
import workload

ALGORITHMS = {
    "cophy": cophy.cophy,
    "extend": greedy.extend,
    "db2advis": greedy.db2advis,
    "drop": greedy.drop,
    "autoadmin": greedy.autoadmin,
    "relaxation": greedy.relaxation,
    "dta": greedy.dta,
}


def read_set(path):
    """The set of plain b-trees that a file defines."""
    keys = re.findall(r"\bON\b[^(]*\(([^)]*)\)", open(path, encoding="utf-8").read(), re.I)
    return frozenset(tuple(key.strip() for key in columns.split(",")) for columns in keys)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("folder", "dsn", "workload", "algorithms"):
        parser.add_argument(name)
    parser.add_argument("budgets", nargs="+", type=float)
    parser.add_argument("--limit", type=float, default=600)
    parser.add_argument("--from", dest="start", action="append", default=[])
    parser.add_argument("--write")
    given = parser.parse_args()
    names = [*ALGORITHMS, "best_known"] if given.algorithms == "all" else given.algorithms.split(",")
    work = workload.Workload(given.dsn, given.workload)
    for budget in given.budgets:
        sets = [read_set(path) for path in given.start]
        for name in names:
            began = time.monotonic()
            late = lambda: time.monotonic() > began + given.limit
            if name == "best_known":
                starts = [one for one in sets if work.bytes(one) <= budget * 1e6]
                chosen = best.best_known(work, budget * 1e6, starts, late, given.limit)
            else:
                chosen = ALGORITHMS[name](work, budget * 1e6, late, given.limit)
            seconds = time.monotonic() - began
            sets.append(chosen)
            cost = work.proof(chosen) / work.none
            print(
                "%-10s %5g %.5f %7.1f %7d %6.1f" % (name, budget, cost, work.bytes(chosen) / 1e6, work.questions, seconds),
                flush=True,
            )
            if given.write:
                with open(os.path.join(given.write, "%s.%g.sql" % (name, budget)), "w", encoding="utf-8") as file:
                    file.writelines(work.definition(index) + ";\n" for index in sorted(chosen))


main()
