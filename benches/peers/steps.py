"""What several of the algorithms are made of."""
import itertools

from workload import WIDTH

# a step that gains less than this part is none
LEAST_GAIN = 1e-6


def merged(one, other):
    """One index that serves for both, as far as its width goes."""
    return (one + tuple(column for column in other if column not in one))[:WIDTH]


def with_merged(work, indexes):
    """These, and each two on a table merged either way."""
    pairs = itertools.permutations(sorted(indexes), 2)
    return indexes | {merged(*pair) for pair in pairs if work.table(pair[0]) == work.table(pair[1])}


def bests(work, most):
    """What is best for each statement alone, of all indexes up to the size, to half of it, to a quarter…"""
    return {work.best_alone(number, most / part) for number in work.numbers for part in (1, 2, 4, 8, 16)} - {frozenset()}


def greedy(work, chosen, groups, budget, late, worth=lambda gain, size: gain):
    """Adds the group of indexes that is worth most, as long as anything gains and fits."""
    cost = work.total(chosen)
    while not late():
        taken, best = work.bytes(chosen), (0, [], chosen)
        for group in groups:
            size = work.bytes(group - chosen)
            if 0 < size <= budget - taken:
                gain = cost - work.total(chosen | group)
                if gain > LEAST_GAIN * cost:
                    best = max(best, (worth(gain, size), sorted(group), chosen | group), key=lambda one: one[:2])
        if best[2] == chosen:
            break
        chosen = best[2]
        cost = work.total(chosen)
    return chosen


def single(indexes):
    return {frozenset([index]) for index in indexes}


def per_byte(gain, size):
    return gain / size


def best_of(work, sets, budget):
    return min((one for one in sets if work.bytes(one) <= budget), key=work.total, default=frozenset())


def without_idle(work, chosen):
    """Without those that no statement uses; the planner's choice may move to others, hence more than once."""
    while (used := work.used_by_all(chosen)) != chosen:
        chosen = used
    return chosen


def peel(work, number, kept, pool):
    """All of the pool that the statement would use beside the kept ones: what it uses first, then without those…"""
    found, pool = set(), set(pool) - kept
    while new := work.used(number, kept | pool) - kept:
        found |= new
        pool -= new
    for index in found:
        work.cost(number, kept | {index})
    return found
