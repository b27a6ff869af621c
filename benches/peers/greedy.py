"""The algorithms that add or drop one index after the other."""
import itertools
import random

from steps import LEAST_GAIN, best_of, bests, greedy, merged, per_byte, single, with_merged
from workload import WIDTH


def drop(work, budget, late, limit):
    """DROP (Whang 1987): of all, whatever is missed least goes, until the rest fits. From all single columns as published, and
    from what is best for each statement."""

    def dropped(chosen):
        while work.bytes(chosen) > budget and not late():
            chosen = min((chosen - {index} for index in sorted(chosen)), key=work.total)
        return chosen

    columns = frozenset((column,) for named in work.columns for column in named)
    return best_of(work, [dropped(columns), dropped(frozenset().union(*bests(work, budget)))], budget)


def widened(work, indexes):
    """These, each with one more column that some statement names together with the others."""
    wider = {
        index + (column,)
        for index in indexes
        if len(index) < WIDTH
        for named in work.columns
        if named.issuperset(index)
        for column in named - set(index)
        if work.table_of[column] == work.table(index)
    }
    return indexes | wider


def extend(work, budget, late, limit):
    """Extend (Schlosser 2019): an index of one column, or one more column at the end of one that is chosen, whatever gains most
    for its bytes."""
    chosen, cost = frozenset(), work.none
    columns = {(column,) for named in work.columns for column in named}
    while not late():
        steps = [(chosen | {index}, work.size(index)) for index in columns - chosen]
        for index in chosen:
            for wider in widened(work, {index}) - chosen - {index}:
                steps.append((chosen - {index} | {wider}, max(work.size(wider) - work.size(index), 1)))
        gains = [
            ((cost - work.total(one)) / size, sorted(one), one)
            for one, size in steps
            if work.bytes(one) <= budget and work.total(one) < cost * (1 - 0.0003)
        ]
        if not gains:
            break
        chosen = max(gains)[2]
        cost = work.total(chosen)
    return chosen


def autoadmin(work, budget, late, limit):
    """AutoAdmin (Chaudhuri, Narasayya 1997): candidates are what is best for each statement, found by the best two and greedy
    steps; chosen of them all the same way; then one column wider."""
    pool, chosen = frozenset((column,) for named in work.columns for column in named), frozenset()
    for _ in range(WIDTH):
        candidates = set(chosen)
        for number in work.numbers:
            fitting = sorted(
                index
                for index in pool
                if not work.columns[number].isdisjoint(index)
                and work.size(index) <= budget
                and work.cost(number, [index]) < work.cost(number, ())
            )
            best = best_pair(lambda one: work.cost(number, one), work, fitting, budget, late)
            while more := [
                best | {index}
                for index in fitting
                if work.cost(number, best | {index}) < work.cost(number, best) * (1 - LEAST_GAIN)
            ]:
                best = min(more, key=lambda one: work.cost(number, one))
            candidates |= best
        start = best_pair(work.total, work, sorted(candidates), budget, late)
        chosen = best_of(work, [chosen, greedy(work, start, single(candidates), budget, late)], budget)
        pool = frozenset(widened(work, candidates))
    return chosen


def best_pair(cost, work, pool, budget, late):
    best = frozenset()
    for many in (1, 2):
        for pair in map(frozenset, itertools.combinations(pool, many)):
            if not late() and work.bytes(pair) <= budget and cost(pair) < cost(best) * (1 - LEAST_GAIN):
                best = pair
    return best


def db2advis(work, budget, late, limit):
    """DB2Advis (Valentin 2000): what the planner uses of all candidates, by benefit for its bytes, then exchanges at random."""
    sets = []
    for most in (float("inf"), budget, budget / 4):
        benefit = {}
        for number, weight in enumerate(work.weights):
            candidates = work.candidates(number, most)
            gain = work.cost(number, ()) - work.cost(number, candidates)
            for index in work.used(number, candidates):
                benefit[index] = benefit.get(index, 0) + weight * gain
        ranked = sorted(benefit, key=lambda index: (-benefit[index] / work.size(index), index))
        for index in list(ranked):
            # one that begins with it and comes earlier does its work too
            longer = next((one for one in ranked[: ranked.index(index)] if one[: len(index)] == index), None)
            if longer:
                benefit[longer] += benefit[index]
                ranked.remove(index)
        ranked.sort(key=lambda index: (-benefit[index] / work.size(index), index))
        chosen = frozenset()
        for index in ranked:
            if work.bytes(chosen | {index}) <= budget:
                chosen |= {index}
        sets.append(varied(work, chosen, ranked, budget, late))
    return best_of(work, sets, budget)


def varied(work, chosen, pool, budget, late):
    dice = random.Random(0)
    idle = 0
    while idle < 1000 and not late():
        idle += 1
        gone = set(dice.sample(sorted(chosen), min(len(chosen), dice.randint(0, 3))))
        one = chosen - gone
        others = sorted(set(pool) - chosen)
        for index in dice.sample(others, min(len(others), dice.randint(1, 4))):
            if work.bytes(one | {index}) <= budget:
                one |= {index}
        if work.total(one) < work.total(chosen) * (1 - LEAST_GAIN):
            chosen, idle = one, 0
    return chosen


def dta(work, budget, late, limit):
    """DTA Anytime (Chaudhuri, Narasayya 2020): what is best for each statement, alone and together, and those merged; greedy
    steps from each of them, best first, and exchanges, as long as there is time."""
    together = bests(work, budget)
    pool = frozenset(index for index in with_merged(work, frozenset().union(*together)) if work.size(index) <= budget)
    groups = together | single(pool)
    fitting = sorted((one for one in groups if work.bytes(one) <= budget), key=lambda one: (work.total(one), sorted(one)))
    best = frozenset()
    for seed in [frozenset(), *fitting]:
        for worth in (per_byte, lambda gain, size: gain):
            one = greedy(work, seed, groups, budget, late, worth)
            if work.total(one) < work.total(best) * 1.01:
                one = exchanged(work, one, pool, budget, late)
            best = best_of(work, [best, one], budget)
        if late():
            break
    return best


def exchanged(work, chosen, pool, budget, late):
    while not late():
        cost = work.total(chosen)
        good = [index for index in sorted(pool - chosen) if work.total(chosen | {index}) < cost]
        swaps = (chosen - {gone} | {index} for gone in sorted(chosen) for index in good)
        better = next((one for one in swaps if work.bytes(one) <= budget and work.total(one) < cost * (1 - LEAST_GAIN)), None)
        if better is None:
            break
        chosen = greedy(work, better, single(pool), budget, late, per_byte)
    return chosen


def relaxation(work, budget, late, limit):
    """Relaxation (Bruno, Chaudhuri 2005): what is best for each statement, then made smaller step by step, least loss for the
    bytes first, until it fits."""
    sets = []
    for most in (float("inf"), budget, budget / 4):
        chosen = frozenset().union(*(work.best_alone(number, most) for number in work.numbers))
        while work.bytes(chosen) > budget and not late():
            before, size = work.total(chosen), work.bytes(chosen)

            def penalty(one):
                saved = min(size - work.bytes(one), size - budget)
                return (work.total(one) - before) / saved

            chosen = min((one for one in relaxed(work, chosen) if work.bytes(one) < size), key=penalty)
        sets.append(work.used_by_all(chosen))
    return best_of(work, sets, budget)


def relaxed(work, chosen):
    """Without one; with one cut short; with two merged; with two split into what both have and the rest."""
    ordered = sorted(chosen)
    for index in ordered:
        yield chosen - {index}
        for keys in range(1, len(index)):
            yield chosen - {index} | {index[:keys]}
    for one, other in itertools.permutations(ordered, 2):
        if work.table(one) != work.table(other):
            continue
        yield chosen - {one, other} | {merged(one, other)}
        common = tuple(column for column in one if column in other)
        if common:
            rest = (tuple(column for column in index if column not in common) for index in (one, other))
            yield chosen - {one, other} | {common} | {index for index in rest if index}
