"""multiprocessing.Pool, as the other side of the pool's cases.

    pool.py map|imap|calls PROCESSES N WIDTH

WIDTH is the chunk size (0: as multiprocessing chooses), or how many calls are
outstanding. It prints {"seconds": ...}: how long N items took, without the start of
the pool.
"""

import collections
import json
import multiprocessing
import sys
import time


def increment(i):
    return i + 1


def by_map(pool, n, chunksize):
    return pool.map(increment, range(n), chunksize or None)


def by_imap(pool, n, chunksize):
    return list(pool.imap(increment, range(n), chunksize))


def by_calls(pool, n, outstanding):
    values, pending = [], collections.deque()
    for i in range(n):
        if len(pending) == outstanding:
            values.append(pending.popleft().get())
        pending.append(pool.apply_async(increment, (i,)))
    values.extend(result.get() for result in pending)
    return values


def main(verb, processes, n, width):
    run = {"map": by_map, "imap": by_imap, "calls": by_calls}[verb]
    with multiprocessing.Pool(processes) as pool:
        run(pool, max(n // 10, 1), width)  # the processes are up, and warm
        begin = time.perf_counter()
        values = run(pool, n, width)
        seconds = time.perf_counter() - begin
    if values != list(range(1, n + 1)):
        sys.exit("wrong values")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
