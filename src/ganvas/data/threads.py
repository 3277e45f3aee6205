"""Work on many files with a few threads and bounded memory."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ganvas.data.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK = 32


def count() -> int:
    """How many threads read files: one per processor, at most 8."""
    return min(8, os.cpu_count() or 1)


def each(work: Callable[[Item], Result], items: Sequence[Item], progress: Progress, what: str) -> list[Result]:
    """`work` of every item, in order. An error, or an interruption, stops the work that has not begun."""
    results: list[Result] = []
    waiting: deque[Future[list[Result]]] = deque()
    progress.start(len(items), what)

    def chunk(start: int) -> list[Result]:
        return [work(item) for item in items[start : start + _CHUNK]]

    def collect() -> None:
        done = waiting.popleft().result()
        results.extend(done)
        progress.advance(len(done))

    pool = ThreadPoolExecutor(count(), thread_name_prefix="ganvas-data")
    try:
        for start in range(0, len(items), _CHUNK):
            waiting.append(pool.submit(chunk, start))
            if len(waiting) > 2 * count():
                collect()
        while waiting:
            collect()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        progress.close()
    return results
