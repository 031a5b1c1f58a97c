# SPDX-License-Identifier: GPL-3.0-or-later
"""Training in two processes under torchrun gives the weights of training in one."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from gnuradio.spectrumencoder.encoder.model_file import load
from gnuradio.spectrumencoder.training.config import ConfigError
from gnuradio.spectrumencoder.training.distributed import VARIABLES, Ranks
from gnuradio.spectrumencoder.training.loop import train
from torch.distributed import TCPStore


def toml(config: dict) -> str:
    """JSON's numbers, strings and lists are TOML's."""
    return "\n".join(f"[{table}]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in values.items())
                     for table, values in config.items())


def has_libuv() -> bool:
    """Whether PyTorch was built with what torchrun needs. Debian 13's was not."""
    try:
        TCPStore("127.0.0.1", 0, world_size=1, is_master=True, use_libuv=True)
    except RuntimeError as error:
        assert "libuv" in str(error)
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def in_two_processes(program, config, *arguments) -> list[subprocess.CompletedProcess]:
    """Trains under torchrun (one result), or in two processes started by hand (two), see docs/training.md."""
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    for name in VARIABLES:
        environment.pop(name, None)
    command = [*program, "train", str(config), *map(str, arguments)]
    if has_libuv():
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1",
                   "--nproc-per-node", "2", "--no-python", *command]
        return [subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)]
    environment |= {"USE_LIBUV": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    started = [subprocess.Popen(command, env=environment | {"RANK": rank, "LOCAL_RANK": rank}, text=True, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for rank in "01"]
    try:
        said = [process.communicate(timeout=200) for process in started]
    finally:
        for process in started:
            process.kill()
    return [subprocess.CompletedProcess(command, p.returncode, *texts) for p, texts in zip(started, said, strict=True)]


@pytest.mark.timeout(240)
def test_two_processes_give_the_weights_of_one(mini_corpus, mini_config, program, tmp_path):
    """Also what only some batches train, and a pool, log and checkpoints written once. 15 frames: the shares are uneven."""
    mini_config["training"] |= {"batch": 15, "steps": 50, "variant_steps": 4}
    one = load(train(mini_config, [mini_corpus], tmp_path / "one"))
    (tmp_path / "mini.toml").write_text(toml(mini_config))
    done = in_two_processes(program, tmp_path / "mini.toml", "--corpus", mini_corpus, "--out", tmp_path / "two")
    for process in done:
        assert process.returncode == 0, process.stderr[-3000:]
    assert sum(process.stdout.count("wrote ") for process in done) == 1
    two = load(tmp_path / "two" / "mini.safetensors")
    assert two.variants == one.variants == ["softmax-dynamic", "grouped-dynamic"]
    names = [name for name in one.tensors if name.startswith("weights.")]
    assert set(names) == {name for name in two.tensors if name.startswith("weights.")}
    for name in names:
        np.testing.assert_allclose(two.tensors[name], one.tensors[name], rtol=0, atol=3e-5, err_msg=name)
    logs = [[json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()] for run in ("one", "two")]
    assert len(logs[0]) == len(logs[1]) == 1
    for ours, theirs in zip(*logs, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(ours[key] == pytest.approx(theirs[key], abs=2e-4) for key in ours if key not in ("variant", "seconds"))


def test_a_mean_over_some_frames_is_put_together_from_the_shares():
    values, counted = torch.arange(11.0), torch.tensor([1, 0, 0, 1, 1, 0, 1, 0, 0, 0, 0]).bool()
    means = []
    for rank in range(3):
        ranks = Ranks(rank, 3)
        mine = ranks.share(11)
        some = counted[mine]
        mean = (values[mine] * some).sum() / some.sum().clamp(min=1)  # a share may have none: 0, with weight 0
        means.append(mean * ranks.weight(counted))
    assert float(sum(means) / 3) == pytest.approx(float(values[counted].mean()))
    assert sum(len(range(11)[Ranks(rank, 3).share(11)]) for rank in range(3)) == 11
    with pytest.raises(ConfigError, match="a batch of 2 frames cannot be shared by 3 processes"):
        Ranks(0, 3).share(2)


def test_what_torchrun_did_not_say_is_named(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.from_environment() == Ranks(0, 1, 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(ConfigError, match="WORLD_SIZE is 2, but LOCAL_RANK, MASTER_ADDR, MASTER_PORT is not set"):
        Ranks.from_environment()
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigError, match="no whole number"):
        Ranks.from_environment()
