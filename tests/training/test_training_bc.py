"""Behaviour cloning on a tiny run: it learns, goes on exactly where it was, and stops without losing anything."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoints import same
from small_policies import TINY, learnable_episode, start_ferry, tiny_policy, write_run

from training.data.shards import Episodes, load_shards, shard_files, shard_path, write_shard
from training.errors import CheckpointError, DataError, Diverged
from training.imitation.bc import BcOptions, Trainer, main
from training.models import config
from training.runtime.checkpoint import load, policy_from, policy_payload, save
from training.runtime.interrupt import stop_request

QUICK = ["--size", "tiny", "--context", "24", "--rows", "2", "--threads", "1", "--no-bf16"]


@pytest.fixture(autouse=True)
def _tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(config.PRESETS, "tiny", TINY)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


def options(run: Path, name: str = "bc", **changes: Any) -> BcOptions:
    made = BcOptions(run, name, size="tiny", epochs=4, rows=2, context=24, lr=3e-3, bf16=False, threads=1)
    return replace(made, **changes)


def data(run: Path) -> Episodes:
    return load_shards(shard_files([run / "data"]))


def trainer(run: Path, name: str = "bc", **changes: Any) -> Trainer:
    episodes = data(run)
    return Trainer(options(run, name, **changes), episodes, episodes)


def test_it_learns_what_is_written_into_the_features(tmp_path: Path) -> None:
    run = write_run(tmp_path, shards=4)
    words = ["--run", str(run), *QUICK, "--epochs", "25", "--lr", "5e-3", "--hold-out", "4"]
    assert main(words) == 0
    best = load(run / "bc" / "best.pt", "policy")
    assert best["best"] < 0.3  # a guess has a loss of 3
    assert best["algorithm"] == "behaviour cloning"
    assert best["steps"] > 0
    assert policy_from(best, run).config == TINY
    assert list((run / "bc" / "tensorboard").iterdir())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_cuda_a_resumed_run_goes_on_with_the_same_random_numbers(shared_run: Path) -> None:
    first = trainer(shared_run, "cuda", device="cuda")
    first.run(updates=2)
    state = torch.cuda.get_rng_state()
    torch.manual_seed(12345)
    second = trainer(shared_run, "cuda", device="cuda")
    second.resume()
    assert torch.equal(torch.cuda.get_rng_state(), state)
    second.run()
    assert next(second.policy.parameters()).is_cuda
    assert np.isfinite(second.best)


def test_features_of_another_encoder_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "data" / "data.json").write_text('{"encoder": "0123456789abcdef"}')
    with pytest.raises(DataError, match=r"data: got features of encoder 0123456789ab, expected .*; collect them again"):
        trainer(run)


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "bc").mkdir()
    (run / "bc" / "last.pt").write_bytes(b"hours")
    with pytest.raises(CheckpointError, match=r"bc/last.pt: the checkpoint exists already"):
        main(["--run", str(run), *QUICK])
    assert (run / "bc" / "last.pt").read_bytes() == b"hours"


def test_a_resumed_run_equals_an_unbroken_one(shared_run: Path) -> None:
    unbroken = trainer(shared_run, "unbroken")
    unbroken.run()
    first = trainer(shared_run, "broken")
    updates = first.per_epoch + 2  # in the middle of an epoch
    first.run(updates=updates)
    torch.manual_seed(12345)  # another process has other random numbers
    second = trainer(shared_run, "broken")
    second.resume()
    assert second.step == updates
    second.run()
    one, other = unbroken.payload(), second.payload()
    different = [name for name in one if name != "command" and name != "training" and not same(one[name], other[name])]
    assert different == []
    assert unbroken.step == second.step == 4 * unbroken.per_epoch


def test_dropout_makes_the_random_state_matter(shared_run: Path) -> None:
    first = trainer(shared_run, "dropout")
    first.run(updates=3)
    second = trainer(shared_run, "dropout")
    second.resume()
    torch.manual_seed(12345)
    first.run(updates=2)
    torch.manual_seed(54321)
    second.run(updates=2)
    assert not same(first.policy.state_dict(), second.policy.state_dict())


def test_the_image_encoder_stays_the_runs_own(shared_run: Path) -> None:
    made = trainer(shared_run, "frozen")
    before = {name: value.clone() for name, value in made.policy.image_encoder.state_dict().items()}
    saved = load(shared_run / "encoder.pt", "image_encoder")["weights"]
    made.run(updates=3)
    assert same(before, made.policy.image_encoder.state_dict())
    assert same(before, dict(saved))


@pytest.mark.parametrize(("change", "message"), [
    ({"lr": 1e-4}, "got lr 0.003, expected 0.0001 as requested"),
    ({"seed": 3}, "got seed 0, expected 3 as requested"),
    ({"epochs": 9}, "got epochs 4, expected 9"),
])  # fmt: skip
def test_a_run_is_not_resumed_with_other_options(shared_run: Path, change: dict[str, Any], message: str) -> None:
    trainer(shared_run, "other").run(updates=1)
    with pytest.raises(CheckpointError, match=message):
        trainer(shared_run, "other", **change).resume()


def test_a_run_is_not_resumed_with_more_data(tmp_path: Path) -> None:
    run = write_run(tmp_path, shards=1)
    trainer(run).run(updates=1)
    write_shard(shard_path(run / "data", 1), [learnable_episode(n, 20) for n in range(6)])
    with pytest.raises(CheckpointError, match=r"got \d updates per epoch, expected \d"):
        trainer(run).resume()


def test_there_must_be_something_to_resume(shared_run: Path) -> None:
    with pytest.raises(CheckpointError, match=r"never/last.pt: got no such file"):
        trainer(shared_run, "never").resume()


def test_another_checkpoints_weights_can_be_the_start(shared_run: Path, tmp_path: Path) -> None:
    policy = tiny_policy(77)
    save(tmp_path / "start.pt", "policy", policy_payload(policy))
    made = trainer(shared_run, "warm", init=tmp_path / "start.pt")
    assert same(policy.actor.state_dict(), made.policy.actor.state_dict())


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    good = trainer(run)
    good.run(updates=2)
    before = (run / "bc" / "last.pt").read_bytes()
    bad = trainer(run)
    bad.resume()
    bad.train_set.features[:] = np.nan
    with pytest.raises(Diverged, match=r"loss at step 2: got nan, expected a number; .* checkpoint is .*bc/last.pt"):
        bad.run()
    assert (run / "bc" / "last.pt").read_bytes() == before
    assert torch.isfinite(load(run / "bc" / "last.pt", "policy")["weights"]["actor.weight"]).all()


def test_it_validates_on_shards_that_it_does_not_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path, shards=3)
    main(["--run", str(run), *QUICK, "--epochs", "1", "--hold-out", "3"])
    assert load(run / "bc" / "best.pt", "policy")["episodes"] == 12  # of 18
    output = capsys.readouterr()
    assert "validation loss" in output.err
    assert "recall of done" in output.err
    assert re.search(r"best.pt: validation loss \d\.\d{3} after \d+ updates", output.out)


def test_without_data_it_says_what_makes_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got no shards"):
        main(["--run", str(tmp_path), *QUICK])


def test_bfloat16_trains_as_well(shared_run: Path) -> None:
    made = trainer(shared_run, "bf16", bf16=True)
    made.run(updates=2)
    assert made.policy.actor.weight.dtype == torch.float32
    assert torch.isfinite(made.policy.actor.weight).all()


def test_a_second_interrupt_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_request() as stopping:
        assert not stopping()
        signal.raise_signal(signal.SIGINT)
        assert stopping()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_stopping_saves_first(shared_run: Path) -> None:
    made = trainer(shared_run, "stopped")
    with pytest.raises(KeyboardInterrupt):
        made.run(stopping=lambda: made.step >= 2)
    assert load(shared_run / "stopped" / "last.pt", "policy")["update"] == 2


def test_ctrl_c_saves_and_says_so_and_the_run_goes_on(tmp_path: Path) -> None:
    run = write_run(tmp_path, shards=2)
    words = ["train", "bc", "--run", str(run), *QUICK, "--epochs", "100000"]
    process = start_ferry(*words)
    try:
        wait_for_validation(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "interrupted" in err
    saved = load(run / "bc" / "last.pt", "policy")
    assert saved["update"] > 0
    assert not list((run / "bc").glob(".*"))


def wait_for_validation(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        sys.stdout.write(line)
        if "validation loss" in line:
            return
    raise AssertionError("the training ended before its first epoch")
