"""The best that can be had, by whatever means: how far all others are from it."""
import itertools

from cophy import all_plans, solve, together
from steps import LEAST_GAIN, peel, with_merged, without_idle
from workload import WIDTH

# of the sets that it begins with, so many of the best are looked at from all sides
STARTS = 4


def neighbours(work, index):
    """An index one column narrower, wider, or with one exchanged, or in another order."""
    columns = sorted(column for column, table in work.table_of.items() if table == work.table(index))
    columns = [column for column in columns if any(column in named for named in work.columns)]
    found = set(itertools.permutations(index)) | {index[:place] + index[place + 1 :] for place in range(len(index))}
    for column in set(columns) - set(index):
        found |= {index[:place] + (column,) + index[place + 1 :] for place in range(len(index))}
        if len(index) < WIDTH:
            found |= {index[:place] + (column,) + index[place:] for place in range(len(index) + 1)}
    return found - {(), index}


def look_around(work, chosen, budget, near):
    """Learns what each statement would use more, and what instead of each one that it uses."""
    news = set()
    for number in work.numbers:
        pool = {index for index in near if not work.columns[number].isdisjoint(index)} | set(work.candidates(number, budget))
        news |= peel(work, number, chosen, pool)
        for index in work.used(number, chosen):
            news |= peel(work, number, chosen - {index}, pool)
    return news


def moves(work, chosen, budget, pool):
    """Each set that is one move away and fits."""
    spare = budget - work.bytes(chosen)
    for index in chosen:
        yield chosen - {index}
    for gone in [()] + [(index,) for index in chosen] + list(itertools.combinations(chosen, 2)):
        room = spare + work.bytes(gone)
        kept = chosen - set(gone)
        tables = {work.table(index) for index in gone}
        for index in pool:
            if work.size(index) <= room and (len(gone) < 2 or work.table(index) in tables):
                yield kept | {index}
    for index in chosen:
        for other in neighbours(work, index):
            if other not in chosen and work.size(other) <= spare + work.size(index):
                yield chosen - {index} | {other}


def climb(work, chosen, budget, news, late):
    """The first move that gains, again and again."""
    while not late():
        cost = work.total(chosen) - LEAST_GAIN * work.none
        # what gains nothing when it is added gains nothing in place of another
        pool = [index for index in sorted(news - chosen) if work.total(chosen | {index}) < cost]
        tried = itertools.takewhile(lambda _: not late(), moves(work, chosen, budget, pool))
        better = next((one for one in tried if work.total(one) < cost and work.proof(one) < cost), None)
        if better is None:
            break
        chosen = better
    return chosen


def best_known(work, budget, starts, late, limit):
    for number in work.numbers:
        together(work, number, work.candidates(number, budget), budget, late)
    starts = sorted(starts, key=work.proof) or [frozenset()]
    for one in starts[:STARTS]:
        look_around(work, one, budget, one)
    chosen = starts[0]
    while True:
        cost = work.proof(chosen) - LEAST_GAIN * work.none
        near = {index for index in with_merged(work, chosen) if work.size(index) <= budget}
        news = look_around(work, chosen, budget, near)
        better = without_idle(work, solve(work, budget, all_plans(work), limit))
        if work.proof(better) >= cost:
            # what is left may be had by a move that no plan knows yet
            better = climb(work, chosen, budget, news, late)
        if work.proof(better) >= cost:
            return chosen
        chosen = better
