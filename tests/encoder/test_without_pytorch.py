# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine where PyTorch is not installed: what the C++ library serves works, what it does not says what to install."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

HIDDEN = 'import sys; sys.modules["torch"] = None\n'  # as if it were not installed: an import fails, a search finds nothing


def run(code: str, hidden: bool = True) -> str:
    script = (HIDDEN if hidden else "") + textwrap.dedent(code)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_engine_gives_the_same_bits_with_and_without_it(tmp_path):
    code = """
        import sys, numpy as np
        from gnuradio.spectrumencoder.encoder.engine import Engine
        engine = Engine("base")
        items = np.random.default_rng(1).normal(0.0, 3.0, (20, engine.layout.item_size)).astype(np.float32)
        out = engine.encode(items, "ism")
        np.save(sys.argv[1], np.hstack((out.residual, out.features, out.reconstruction))) if sys.argv[1:] else None
        engine.set_backend("linear"); engine.set_backend("mhla"); engine.set_rope_mode("dynamic")
        print(engine.runtime, engine.device, sys.modules.get("torch"))
    """
    files = [tmp_path / "without.npy", tmp_path / "with.npy"]
    for file, hide in zip(files, (True, False), strict=True):
        assert run(code.replace("sys.argv[1:]", "True").replace("sys.argv[1]", repr(str(file))), hide) == "native cpu None"
    without, there = map(np.load, files)
    assert without.tobytes() == there.tobytes()
    assert np.isfinite(without).all()


@pytest.mark.parametrize("settings, wanted", [
    ('backend="naive"', "backend 'naive' cannot run on cpu: it needs PyTorch, which is not installed; install it with"),
    ('runtime="torch"', "runtime torch: it needs PyTorch"),
    ('compute="cuda"', "compute 'cuda': it needs PyTorch, which is not installed"),
    ('compute="cuda:1"', "or use compute=cpu"),
    ('compute="gpu"', "compute 'gpu' is not auto, cpu, cuda or cuda:n"),
])
def test_what_needs_it_says_so_and_how_to_get_it(settings, wanted):
    told = run(f"""
        from gnuradio.spectrumencoder.encoder.engine import Engine
        try:
            Engine("base", {settings})
        except ValueError as error:
            print(error)
    """)
    assert wanted in told
    assert "\n" not in told


def test_a_refused_live_change_keeps_the_old_setting():
    told = run("""
        from gnuradio.spectrumencoder.encoder.engine import Engine
        engine = Engine("base", backend="linear")
        try:
            engine.set_backend("naive")
        except ValueError as error:
            print(error, "|", engine.backend, engine.runtime, engine.variant)
    """)
    assert told.endswith("| linear native linear-dynamic")


def test_backends_are_listed_and_only_oracles_are_absent():
    told = run("""
        from gnuradio.spectrumencoder.encoder.attention import describe_backends
        print(*(f"{row['name']}:{row['available']}" for row in describe_backends()))
    """)
    rows = dict(part.split(":") for part in told.split())
    assert {name for name, there in rows.items() if there == "True"} == {"flash", "grouped", "latent", "linear", "mhla"}
