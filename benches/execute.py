#!/usr/bin/env python3
"""Runs a workload for real: with no index, with a plain greedy choice, with a given set.

  execute.py DSN WORKLOAD SET BUDGET_BYTES

The greedy baseline is what a careful script would do: every column that the workload names is a candidate of its own, priced by
the planner (HypoPG); the one that saves most for its size is taken, until the budget is full or nothing saves anything.
Each statement is run twice, the second run counts; what takes longer than two minutes counts as two minutes. Prints a row for each set: size, seconds to build, seconds to run.
"""
import re
import sys
import time

import psycopg2

LIMIT_SECONDS = 120


def statements(path):
    """The statements of a workload file, without its comment lines."""
    lines = [line for line in open(path) if not line.lstrip().startswith("--")]
    return [text.strip() for text in "".join(lines).split(";") if text.strip()]


def cost(cursor, statement):
    cursor.execute("EXPLAIN (FORMAT JSON) " + statement)
    return cursor.fetchone()[0][0]["Plan"]["Total Cost"]


def greedy(cursor, workload, budget):
    """Single columns, the best saving for its size first."""
    cursor.execute(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped"
        " ORDER BY 1, 2"
    )
    named = "\n".join(workload)
    candidates = [f"{table} ({column})" for table, column in cursor.fetchall() if re.search(rf"\b{column}\b", named)]
    chosen, left = [], budget
    current = [cost(cursor, statement) for statement in workload]
    while True:
        best = None
        for candidate in candidates:
            cursor.execute("SELECT indexrelid FROM hypopg_create_index(%s)", (f"CREATE INDEX ON {candidate}",))
            oid = cursor.fetchone()[0]
            cursor.execute("SELECT hypopg_relation_size(%s)", (oid,))
            size = cursor.fetchone()[0]
            if size <= left:
                column = candidate[candidate.index("(") + 1 : -1]
                costs = [
                    cost(cursor, statement) if re.search(rf"\b{column}\b", statement) else known
                    for statement, known in zip(workload, current)
                ]
                saved = sum(current) - sum(costs)
                if saved > 0 and (best is None or saved / size > best[0]):
                    best = (saved / size, candidate, size, costs)
            cursor.execute("SELECT hypopg_drop_index(%s)", (oid,))
        if best is None:
            cursor.execute("SELECT hypopg_reset()")
            return [f"CREATE INDEX ON {candidate}" for candidate in chosen]
        _, candidate, size, current = best
        cursor.execute("SELECT hypopg_create_index(%s)", (f"CREATE INDEX ON {candidate}",))
        chosen.append(candidate)
        candidates.remove(candidate)
        left -= size


def run(cursor, workload):
    """Seconds of the second run of each statement; what takes too long counts as the limit."""
    seconds = 0.0
    for statement in workload:
        for _ in range(2):
            started = time.monotonic()
            try:
                cursor.execute(statement)
            except psycopg2.errors.QueryCanceled:
                pass
            elapsed = time.monotonic() - started
            # what takes that long is not the warmer for it
            if elapsed >= LIMIT_SECONDS / 4:
                break
        seconds += elapsed
    return seconds


def main():
    dsn, path, given, budget = sys.argv[1:]
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(f"SET statement_timeout = '{LIMIT_SECONDS}s'")
    workload = statements(path)
    theirs = [text.strip() for text in open(given).read().split(";") if text.strip()]
    print("| set | indexes | size, MB | build, s | run, s |\n|---|---|---|---|---|")
    for name, indexes in [
        ("none", []),
        ("greedy, single columns", greedy(cursor, workload, float(budget))),
        ("pgadvisor", theirs),
    ]:
        started = time.monotonic()
        for definition in indexes:
            cursor.execute(definition.replace(" CONCURRENTLY", ""))
        built = time.monotonic() - started
        cursor.execute(
            "SELECT coalesce(sum(pg_relation_size(indexrelid)), 0), coalesce(array_agg(indexrelid::regclass::text), '{}')"
            " FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE c.relnamespace = 'public'::regnamespace"
        )
        size, names = cursor.fetchone()
        seconds = run(cursor, workload)
        print(f"| {name} | {len(indexes)} | {float(size) / 1e6:.0f} | {built:.0f} | {seconds:.1f} |", flush=True)
        for index in names:
            cursor.execute(f"DROP INDEX {index}")


main()
