# `just` lists these; `just ci` is exactly what CI runs.
default:
    @just --list

# Everything on ./data, tailing ./logs/*.log
serve *ARGS:
    cargo run --release -- serve {{ARGS}}

# README's second command
test:
    cargo test --workspace

# Formatting and lints, as CI asks
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# The recorded questions against the release binary: `just conformance file` or `just conformance s3`
conformance STORE="file":
    cargo build --release
    .ci/conformance {{STORE}}

# Figures on the bench set: `just bench FRAMES=path/to/frames-64m.bin`
bench *ARGS:
    cargo build --release
    python3 shared/testkit/bench/questions.py {{ARGS}}

# What CI runs, whole
ci:
    .ci/run
