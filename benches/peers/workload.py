"""A workload as the planner prices it: sets of plain b-tree indexes, each a tuple of columns
(or of columns each with an operator class, for sets that are read), known answers never asked again."""
import itertools
import re

import eval_indexes

WIDTH = 3
# an index on a smaller table is worth nothing
LEAST_ROWS = 10_000


class Workload:
    def __init__(self, dsn, path):
        self.planner = eval_indexes.Evaluator(dsn)
        named = eval_indexes.read_workload(path)
        self.weights = [weight for _, weight, _ in named]
        self.texts = [sql for _, _, sql in named]
        self.cursor = self.planner.cur
        self.cursor.execute(
            "SELECT a.attname, c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND c.reltuples >= %s",
            (LEAST_ROWS,),
        )
        self.table_of = dict(self.cursor.fetchall())
        self.columns = [set(re.findall(r"[a-z_0-9]+", sql.lower())) & self.table_of.keys() for sql in self.texts]
        self.numbers = range(len(self.texts))
        # sets are bit masks inside: each index has a bit, each statement a mask of those that it may take
        self.indexes, self.bits, self.sizes = [], {}, {}
        self.relevant = [0] * len(self.texts)
        # (available, used, cost): the answer holds for each set in between; answers by the very set
        self.facts = [[] for _ in self.texts]
        self.answers = [{} for _ in self.texts]
        # what no other answer stands for
        self.proven = set()
        self.present, self.oids, self.questions = 0, {}, 0
        self.none = self.total(())

    def mask(self, chosen):
        return sum(self.bits.get(index) or self.register(index) for index in chosen)

    def members(self, mask):
        found = []
        while mask:
            low = mask & -mask
            found.append(self.indexes[low.bit_length() - 1])
            mask ^= low
        return frozenset(found)

    def register(self, index):
        bit = self.bits[index] = 1 << len(self.indexes)
        self.indexes.append(index)
        for number in self.numbers:
            if not self.columns[number].isdisjoint(key.split()[0] for key in index):
                self.relevant[number] |= bit
        return bit

    def table(self, index):
        return self.table_of[index[0].split()[0]]

    def definition(self, index):
        return "CREATE INDEX ON %s (%s)" % (self.table(index), ", ".join(index))

    def show(self, there):
        """Makes these the hypothetical indexes."""
        gone = [self.oids.pop(index)[0] for index in self.members(self.present & ~there)]
        self.cursor.execute("SELECT hypopg_drop_index(oid) FROM unnest(%s::oid[]) oid", (gone,))
        new = sorted(self.members(there & ~self.present))
        self.cursor.execute(
            "SELECT made.indexrelid, made.indexname, hypopg_relation_size(made.indexrelid)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS a (sql, place), hypopg_create_index(sql) made ORDER BY place",
            ([self.definition(index) for index in new],),
        )
        for index, (oid, name, size) in zip(new, self.cursor.fetchall()):
            self.oids[index] = oid, name
            self.sizes[index] = size
        self.present = there

    def ask(self, number, there):
        self.show(there)
        self.questions += 1
        cost, names = self.planner.cost(self.texts[number])
        return self.mask(index for index, (_, name) in self.oids.items() if name in names), cost

    def answer(self, number, mask):
        """(used, cost), the used as a mask."""
        there = mask & self.relevant[number]
        known = self.answers[number].get(there)
        if known is None:
            for available, used, cost in reversed(self.facts[number]):
                if not used & ~there and not there & ~available:
                    known = used, cost
                    break
            else:
                known = self.ask(number, there)
                self.facts[number].append((there, *known))
            self.answers[number][there] = known
        return known

    def cost(self, number, chosen):
        return self.answer(number, self.mask(chosen))[1]

    def used(self, number, chosen):
        return self.members(self.answer(number, self.mask(chosen))[0])

    def total(self, chosen):
        mask = self.mask(chosen)
        return sum(weight * self.answer(number, mask)[1] for number, weight in enumerate(self.weights))

    def used_by_all(self, chosen):
        return frozenset().union(*(self.used(number, chosen) for number in self.numbers))

    def proof(self, chosen):
        """What the planner says of the whole set: the total of known answers may be off by what it takes for equal."""
        mask = self.mask(chosen)
        for number in self.numbers:
            there = mask & self.relevant[number]
            if (there, number) not in self.proven:
                self.proven.add((there, number))
                self.answers[number][there] = self.ask(number, there)
                self.facts[number].append((there, *self.answers[number][there]))
        return self.total(chosen)

    def size(self, index):
        if index not in self.sizes:
            self.show(self.present | self.mask([index]))
        return self.sizes[index]

    def bytes(self, chosen):
        return sum(map(self.size, chosen))

    def candidates(self, number, most=float("inf"), width=WIDTH):
        """All that one statement could use: each order of its columns of a table that takes no more bytes."""
        tables = {}
        for column in sorted(self.columns[number]):
            tables.setdefault(self.table_of[column], []).append(column)
        possible = [
            index
            for columns in tables.values()
            for keys in range(1, width + 1)
            for index in itertools.permutations(columns, keys)
        ]
        missing = [index for index in possible if index not in self.sizes]
        if missing:
            self.show(self.mask(missing))
        return [index for index in possible if self.sizes[index] <= most]

    def best_alone(self, number, most):
        """What the planner picks of all candidates that are no larger."""
        return self.used(number, self.candidates(number, most))
