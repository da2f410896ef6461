# `just` lists these; `just check` is what CI runs.

_default:
    @just --list

# All gates: format, lints, tests, docs, configurations, dependencies, spelling.
check:
    tests/run

# The gates without those that need tools beyond Rust's own.
quick:
    tests/run --quick

# All gates and the long tests.
full:
    tests/run --full

# Writes the code as the first gate wants it.
fmt:
    cargo fmt --all

# The unit and integration tests alone, with a filter: `just test html::`.
test *FILTER:
    cargo nextest run {{ FILTER }}

# The documentation, private items included, in a browser.
doc:
    cargo doc --no-deps --document-private-items --open

# Licences, sources and bans of the dependencies.
deny:
    cargo deny check bans licenses sources
