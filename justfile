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

# Both functions as zips: `just package` (arm64) or `just package x86_64`
package ARCHITECTURE="arm64":
    infra/aws/package {{ARCHITECTURE}}

# The stack on AWS, asked step by step the first time: infra/aws/README.md
deploy *ARGS: package
    sam deploy --template infra/aws/template.yaml --stack-name logbarn --resolve-s3 --capabilities CAPABILITY_IAM {{ARGS}}

# Cold starts of the zips built for this machine: init, first reply, memory
measure *ARGS:
    infra/aws/measure {{ARGS}}

# Lint templates and cost tables as CI does
infrastructure:
    .ci/infrastructure

# What CI runs, whole
ci:
    .ci/run
