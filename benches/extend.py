"""What a published algorithm reaches on the very data that pgadvisor is measured on: Extend (Schlosser et al., ICDE 2019), which
adds an index of one column or one more column at the end of one that is chosen, whatever gains most for its bytes, as long as it
fits. It asks the planner as often as it likes; questions that known answers decide are not asked.

usage: extend.py FOLDER DSN WORKLOAD.sql BUDGET_MB...     FOLDER holds eval_indexes.py
Prints for each budget: the budget, cost as part of what it is without indexes, questions so far.
"""
import re
import sys

sys.path.insert(0, sys.argv[1])
import eval_indexes

WIDTH = 3
# an index on a smaller table is worth nothing
LEAST_ROWS = 10_000
# a step that gains less than this part is none
LEAST_GAIN = 0.0003


class Workload:
    def __init__(self, dsn, path):
        self.planner = eval_indexes.Evaluator(dsn)
        self.statements = eval_indexes.read_workload(path)
        cursor = self.planner.cur
        cursor.execute(
            "SELECT a.attname, c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND c.reltuples >= %s",
            (LEAST_ROWS,),
        )
        self.table_of = dict(cursor.fetchall())
        words = [set(re.findall(r"[a-z_0-9]+", sql.lower())) for _, _, sql in self.statements]
        self.columns = [named & self.table_of.keys() for named in words]
        # which indexes a statement may take, and what is known: what was there, what was taken, the cost
        self.facts = [[] for _ in self.statements]
        self.present, self.sizes, self.questions = {}, {}, 0
        self.none = self.cost_of_all(frozenset())

    def definition(self, index):
        return "CREATE INDEX ON %s (%s)" % (self.table_of[index[0]], ", ".join(index))

    def size(self, index):
        if index not in self.sizes:
            [made] = self.planner.create([self.definition(index)])
            self.sizes[index] = made["size"]
            self.present[index] = (made["oid"], made["name"])
        return self.sizes[index]

    def cost(self, number, chosen):
        there = frozenset(index for index in chosen if index[0] in self.columns[number])
        for available, used, cost in self.facts[number]:
            if used <= there <= available:
                return cost
        for index in self.present.keys() - there:
            self.planner.cur.execute("SELECT hypopg_drop_index(%s)", (self.present.pop(index)[0],))
        for index in there - self.present.keys():
            [made] = self.planner.create([self.definition(index)])
            self.present[index] = (made["oid"], made["name"])
        self.questions += 1
        cost, names = self.planner.cost(self.statements[number][2])
        used = frozenset(index for index, (_, name) in self.present.items() if name in names)
        self.facts[number].append((there, used, cost))
        return cost

    def cost_of_all(self, chosen):
        costs = (weight * self.cost(number, chosen) for number, (_, weight, _) in enumerate(self.statements))
        return sum(costs)

    def bytes(self, chosen):
        return sum(self.size(index) for index in chosen)


def steps(work, chosen):
    """Each set that is one step away, with the bytes that it takes more."""
    for column in sorted(set().union(*work.columns)):
        if (column,) not in chosen:
            yield chosen | {(column,)}, work.size((column,))
    for index in sorted(chosen):
        if len(index) == WIDTH:
            continue
        # only a column that some statement names together with the others can be of use
        near = set().union(*(named for named in work.columns if named.issuperset(index)))
        for column in sorted(near - set(index)):
            if work.table_of[column] == work.table_of[index[0]] and index + (column,) not in chosen:
                wider = index + (column,)
                yield chosen - {index} | {wider}, max(work.size(wider) - work.size(index), 1)


def extend(work, budget):
    chosen, cost = frozenset(), work.none
    while True:
        best = None
        for one, bytes_more in steps(work, chosen):
            if work.bytes(one) > budget:
                continue
            gain = cost - work.cost_of_all(one)
            if gain > LEAST_GAIN * cost and (best is None or gain / bytes_more > best[0]):
                best = gain / bytes_more, one
        if best is None:
            return cost
        chosen = best[1]
        cost = work.cost_of_all(chosen)


def main():
    work = Workload(sys.argv[2], sys.argv[3])
    for budget in map(float, sys.argv[4:]):
        cost = extend(work, budget * 1e6)
        print("%g %.4f %d" % (budget, cost / work.none, work.questions), flush=True)


main()
