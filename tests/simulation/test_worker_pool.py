"""Worker processes: real ones, which are killed, hang, refuse and die with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from jobs import Deadly, Double, NoWork, Pid, Refuse, Size, Slow, Trouble

from simulation.errors import JobFailed, WorkersLost
from simulation.worker_pool import ATTEMPTS, WorkerPool


def is_alive(pid: int) -> bool:
    """Whether the process runs; a dead one whose end nobody has asked for yet counts as dead."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_every_job_is_done_once_and_steps_are_heard() -> None:
    heard: list[int] = []
    with WorkerPool(Double, 2, heard.append) as pool:
        assert sorted(pool.run(range(5))) == [(i, 2 * i) for i in range(5)]
        assert pool.replaced == 0
        assert list(pool.run([7])) == [(7, 14)]  # the same workers again
    assert sorted(heard) == [0, 1, 2, 3, 4, 7]


def test_workers_live_on_between_jobs() -> None:
    with WorkerPool(Pid, 2) as pool:
        processes = {pid for _, pid in pool.run(range(12))}
    assert len(processes) <= 2
    assert os.getpid() not in processes
    assert not any(is_alive(pid) for pid in processes)


def test_no_further_job_is_started_after_the_time() -> None:
    done: list[int] = []
    with WorkerPool(Double, 1) as pool:
        for job, _ in pool.run(range(100), keep_on=lambda: len(done) < 3):
            done.append(job)
    assert 3 <= len(done) <= 4


def test_once_it_is_enough_unfinished_jobs_are_dropped() -> None:
    done: list[int] = []
    with WorkerPool(Slow, 2) as pool:
        for job, _ in pool.run(range(4), enough=lambda: bool(done)):
            done.append(job)
        assert done == [0]
        assert list(pool.run([0])) == [(0, 0)]  # the same workers are ready for more
        assert pool.replaced == 0


def test_a_worker_that_does_not_drop_its_job_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.worker_pool.ABANDON_S", 0.2)
    mark = tmp_path / "hung"
    with WorkerPool(partial(Trouble, "hangs", mark), 1) as pool:
        assert [job for job, _ in pool.run([0, 1], enough=mark.exists)] == [0]
        assert not is_alive(int(mark.read_text()))
        assert [job for job, _ in pool.run([1])] == [1]
        assert pool.replaced == 1


def test_a_killed_worker_is_replaced_and_its_job_done_again(tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    with WorkerPool(partial(Trouble, "dies", mark), 1) as pool:
        results = dict(pool.run(range(3)))
        assert pool.replaced == 1
    assert sorted(results) == [0, 1, 2]
    assert results[1] != f"1 by {mark.read_text()}"


def test_a_hung_worker_is_replaced_and_its_job_done_again(tmp_path: Path) -> None:
    mark = tmp_path / "hung"
    with WorkerPool(partial(Trouble, "hangs", mark), 1, stall_s=3.0) as pool:
        results = dict(pool.run(range(3)))
        assert pool.replaced >= 1
    assert sorted(results) == [0, 1, 2]
    assert not is_alive(int(mark.read_text()))


def test_a_worker_killed_from_outside_is_replaced() -> None:
    with WorkerPool(Pid, 1) as pool:
        jobs = pool.run(range(4))
        _, pid = next(jobs)
        os.kill(pid, signal.SIGKILL)
        rest = dict(jobs)
        assert pool.replaced == 1
    assert sorted(rest) == [1, 2, 3]
    assert pid not in [value for job, value in rest.items() if job > 1]


def test_a_job_that_kills_every_worker_ends_the_run(tmp_path: Path) -> None:
    expected = f"job 4: its worker died with exit code -9; {ATTEMPTS} workers were lost over it"
    with WorkerPool(partial(Deadly, tmp_path / "log"), 1) as pool, pytest.raises(WorkersLost, match=expected):
        list(pool.run([4]))
    assert (tmp_path / "log").read_text() == "x" * ATTEMPTS


def test_a_job_that_fails_says_why_and_where() -> None:
    expected = r"job 3: ValueError: no mug in house 3 \(__call__, line \d+\)"
    with WorkerPool(Refuse, 1) as pool, pytest.raises(WorkersLost, match=expected):
        list(pool.run([3]))


def test_work_that_cannot_be_made_says_why_at_once() -> None:
    with WorkerPool(NoWork, 1) as pool, pytest.raises(JobFailed) as raised:
        list(pool.run([3]))
    assert raised.value.reason == "FileNotFoundError: no policy in the bundle"
    assert pool.replaced == 0


def test_the_jobs_of_a_group_stay_together_in_their_order() -> None:
    groups = [[0, 1, 2], [3, 4, 5], [6, 7]]
    with WorkerPool(Pid, 2) as pool:
        done = list(pool.run_groups(groups))
    processes = dict(done)
    assert sorted(processes) == list(range(8))
    for group in groups:
        assert len({processes[job] for job in group}) == 1
        assert [job for job, _ in done if job in group] == group


def test_a_lost_job_is_reported_and_the_rest_of_its_group_goes_on(tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    lost = WorkerPool[int, str](partial(Trouble, "dies", mark), 1, attempts=1, lost=lambda job, why: f"{job}: {why}")
    with lost as pool:
        results = dict(pool.run_groups([[0, 1, 2]]))
    assert sorted(results) == [0, 1, 2]
    assert results[1] == "1: its process died with exit code -9"
    assert results[0].endswith(mark.read_text())
    assert not results[2].endswith(mark.read_text())
    assert pool.replaced == 1


def test_a_worker_that_stopped_between_jobs_does_not_hold_up_a_large_one() -> None:
    large = bytes(50_000_000)  # more than a pipe takes that nobody reads
    with WorkerPool(Size, 1, stall_s=2.0) as pool:
        [(_, (_, stopped))] = pool.run([b""])
        os.kill(stopped, signal.SIGSTOP)
        [(_, (length, another))] = pool.run([large])
        assert pool.replaced == 1
    assert length == len(large)
    assert another != stopped
    assert not is_alive(stopped)


def test_ctrl_c_is_for_the_parent_alone() -> None:
    with WorkerPool(Pid, 1) as pool:
        jobs = pool.run(range(3))
        _, pid = next(jobs)
        os.kill(pid, signal.SIGINT)  # as a terminal does for every process of the foreground
        assert {worker for _, worker in jobs} == {pid}
        assert pool.replaced == 0


def test_workers_end_with_their_parent() -> None:
    code = """
import sys
sys.path[:0] = sys.argv[1:]
from jobs import Pid
from simulation.worker_pool import WorkerPool

if __name__ == "__main__":
    pool = WorkerPool(Pid, 1)
    for job, pid in pool.run(range(10_000)):
        print(pid, flush=True)
"""
    root = Path(__file__).parents[2]
    words = [sys.executable, "-c", code, str(root / "tests" / "support"), str(root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_alive(worker)
        parent.kill()
    until = time.monotonic() + 20
    while is_alive(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(worker)
