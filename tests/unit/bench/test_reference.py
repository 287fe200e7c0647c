from concurrent.futures import ThreadPoolExecutor

import pytest

from malle_rt.bench.reference import ReferenceTask


@pytest.mark.slow
def test_a_machine_that_is_busy_is_slower_by_it():
    tasks = [ReferenceTask() for _ in range(4)]
    alone = max(tasks[0].rate() for _ in range(5))
    with ThreadPoolExecutor(len(tasks)) as pool:
        together = [min(pool.map(ReferenceTask.rate, tasks)) for _ in range(3)]
    assert 0 < min(together) < 0.8 * alone
