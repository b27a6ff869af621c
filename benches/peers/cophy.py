"""CoPhy (Dash, Polyzotis, Ailamaki, PVLDB 2011): the set as an integer program over what each statement costs with each few
indexes that its plan may use together."""
import numpy
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from steps import peel

# of the sets of one index, of two and of three that a statement uses together so many, the cheapest, are grown by one more
GROWN = (1000, 60, 0)


def cophy(work, budget, late, limit):
    plans = [together(work, number, work.candidates(number, budget), budget, late) for number in work.numbers]
    return solve(work, budget, plans, limit)


def together(work, number, candidates, budget, late):
    """(used, cost) of each few indexes that the statement uses together: one, and more as long as the plan takes them all; and
    of all that it uses at best, of all sizes, and without one of them."""
    plans = {work.answer(number, 0)}
    for size in sorted({work.size(index) for index in candidates}):
        used, cost = work.answer(number, work.mask(index for index in candidates if work.size(index) <= size))
        plans.add((used, cost))
        plans |= {work.answer(number, used & ~work.mask([index])) for index in work.members(used)}
    good = peel(work, number, frozenset(), candidates)
    good |= {index for index in candidates if work.used(number, [index])}
    sets = [frozenset()]
    for most in GROWN:
        larger, sets = {one | {index} for one in sets for index in good - one}, []
        for one in sorted(larger, key=sorted):
            if not late() and work.bytes(one) <= budget:
                used, cost = work.answer(number, work.mask(one))
                plans.add((used, cost))
                if work.members(used) == one:
                    sets.append(one)
        sets = sorted(sets, key=lambda one: work.cost(number, one))[:most]
    return plans


def all_plans(work):
    """All that any algorithm has asked."""
    return [{(used, cost) for _, used, cost in facts} for facts in work.facts]


def undominated(plans):
    """Those that no part of them is as cheap as."""
    kept = []
    for used, cost in sorted(plans, key=lambda plan: (plan[1], plan[0].bit_count(), plan[0])):
        if all(smaller & ~used for smaller, _ in kept):
            kept.append((used, cost))
    return kept


def solve(work, budget, plans, seconds):
    """The set that is best if each statement takes the cheapest of its plans whose indexes are all there. A variable for each
    plan and each index; for each statement a row that it takes one plan, and for each index that its plans use one to tie
    them."""
    taken = [
        (number, members, cost)
        for number in work.numbers
        for used, cost in undominated(plans[number])
        if work.bytes(members := work.members(used)) <= budget
    ]
    indexes = sorted(frozenset().union(*(members for _, members, _ in taken)))
    place = {index: len(taken) + position for position, index in enumerate(indexes)}
    fits = 0
    ties = {}
    entries = [(fits, place[index], work.size(index)) for index in indexes]
    for plan, (number, members, _) in enumerate(taken):
        entries.append((1 + number, plan, 1))
        for index in members:
            row = ties.setdefault((number, index), 1 + len(work.numbers) + len(ties))
            entries.append((row, plan, 1))
    entries += [(row, place[index], -1) for (_, index), row in ties.items()]
    rows, columns, values = zip(*entries)
    once = numpy.ones(len(work.numbers))
    result = milp(
        [work.weights[number] * cost / work.none for number, _, cost in taken] + [0] * len(indexes),
        constraints=LinearConstraint(
            coo_array((values, (rows, columns))).tocsr(),
            numpy.concatenate(([0], once, numpy.full(len(ties), -numpy.inf))),
            numpy.concatenate(([budget], once, numpy.zeros(len(ties)))),
        ),
        integrality=[0] * len(taken) + [1] * len(indexes),
        bounds=Bounds(0, 1),
        options={"time_limit": seconds, "mip_rel_gap": 1e-7},
    )
    if result.x is None:
        return frozenset()
    return frozenset(index for index in indexes if result.x[place[index]] > 0.5)
