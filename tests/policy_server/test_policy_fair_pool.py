"""Whoever used the threads least is served next; what is taken is done."""

from __future__ import annotations

import threading

import pytest

from policy_server.serving.fair_pool import Account, FairPool


def test_a_client_that_asks_rarely_does_not_queue_behind_one_that_asks_much() -> None:
    pool, begun, go = FairPool(1, "test"), threading.Event(), threading.Event()
    greedy, modest, order = Account(), Account(), []

    def first() -> None:
        begun.set()
        go.wait(20)

    running = pool.submit(greedy, first)
    assert begun.wait(20)
    greedy.charge(1.0, 0.0)
    greedy.at_s = float("inf")  # never forgotten
    waiting = [pool.submit(greedy, lambda: order.append("greedy")) for _ in range(3)]
    waiting.append(pool.submit(modest, lambda: order.append("modest")))
    go.set()
    for future in (running, *waiting):
        future.result(20)
    assert order == ["modest", "greedy", "greedy", "greedy"]
    pool.shutdown()


def test_what_was_spent_is_forgotten() -> None:
    account = Account()
    account.charge(1.0, 0.0)
    assert account.balance(5.0) == pytest.approx(0.5)
    account.charge(1.0, 5.0)
    assert account.balance(10.0) == pytest.approx(0.75)


def test_an_error_is_reported_and_the_threads_live_on() -> None:
    pool = FairPool(1, "test")
    with pytest.raises(ZeroDivisionError):
        pool.submit(Account(), lambda: 1 // 0).result(20)
    assert pool.submit(Account(), lambda: 3).result(20) == 3
    pool.shutdown()


def test_what_waits_at_the_end_is_still_done() -> None:
    pool = FairPool(1, "test")
    futures = [pool.submit(Account(), lambda i=i: i) for i in range(5)]
    pool.shutdown()
    assert [one.result(0) for one in futures] == list(range(5))
    with pytest.raises(RuntimeError):
        pool.submit(Account(), lambda: 0)
