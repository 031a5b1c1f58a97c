#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs all benches on this machine, writes docs/results/bench_*.json and the page. It takes about half an hour; let nothing else run.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=docs/results
bench() { .venv/bin/spectrumencoder bench "$@"; }
bench latency --busy-neighbour --json $out/bench_latency.json
bench latency --tokens 128,512,2048 --rounds 15 --json $out/bench_latency_tokens.json
bench throughput --json $out/bench_throughput.json
bench tokenizer --json $out/bench_tokenizer.json
bench pipeline --json $out/bench_pipeline.json
bench pipeline --rate 61.44e6 --seconds 60 --model fast --json $out/bench_pipeline_paced_fast.json
bench pipeline --rate 122.88e6 --seconds 60 --model fast --average 16 --json $out/bench_pipeline_paced_fast_122.json
bench pipeline --rate 61.44e6 --seconds 60 --model base --json $out/bench_pipeline_paced_base.json
bench detector --busy-neighbour --json $out/bench_detector.json
bench energy --json $out/bench_energy.json
bench memory --json $out/bench_memory.json
bench report --json-dir $out --out $out/performance.md
