#!/usr/bin/env python3
"""What the planner says of a workload once a set of indexes is really there, as part of what it says without them.

  built.py DIR DSN WORKLOAD SET     DIR holds eval_indexes.py, whose reader and weights these are

HypoPG sees an index with a condition on the first table of a statement alone, and takes one with INCLUDE for larger than it is: such
sets are worth more than it tells. Builds the set, plans each statement, drops the set again; prints that part and the set's size in
10^6 bytes.
"""
import sys

import psycopg2

sys.dont_write_bytecode = True


def main():
    folder, dsn, path, given = sys.argv[1:]
    sys.path.insert(0, folder)
    from eval_indexes import read_indexes, read_workload

    workload = read_workload(path)
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    cursor = connection.cursor()

    def planned():
        total = 0.0
        for _, weight, sql in workload:
            cursor.execute("EXPLAIN (FORMAT JSON) " + sql)
            total += weight * cursor.fetchone()[0][0]["Plan"]["Total Cost"]
        return total

    def indexes():
        cursor.execute("SELECT indexrelid::regclass::text, pg_relation_size(indexrelid) FROM pg_stat_user_indexes")
        return dict(cursor.fetchall())

    before, there = planned(), indexes()
    built = {}
    try:
        for statement in read_indexes(given):
            cursor.execute(statement)
        built = {name: size for name, size in indexes().items() if name not in there}
        print("%.4f %.0f" % (planned() / before, sum(built.values()) / 1e6))
    finally:
        for name in indexes().keys() - there.keys():
            cursor.execute("DROP INDEX " + name)


main()
