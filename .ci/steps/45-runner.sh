# A suite that knows nothing of this crate, unchanged: red with one Redis for all, green behind `cargo transient exec`.
# Runs in the background.
needs packages
suite=cargo-transient/tests/suite
run runner-build cargo build --package cargo-transient
run runner-suite cargo test --manifest-path "$suite/Cargo.toml" --target-dir "$scratch/suite" --no-run
start_redis
suite() { "${inside[@]}" env CARGO_TARGET_DIR="$scratch/suite" NEXTEST_TEST_THREADS=4 "$@"; }
# Its tests share keys, so that one of the runs fails unless they happen to take turns.
red=0
for _ in $(seq 20); do
    suite REDIS_URL=redis://127.0.0.1:6379 cargo nextest run --manifest-path "$suite/Cargo.toml" >"$logs/runner-red.log" 2>&1 || red=$((red + 1))
done
[ "$red" -gt 0 ] || fail "the suite passes with one Redis for all"
host=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
runner=(TRANSIENT_PROVIDER=process "CARGO_TARGET_${host}_RUNNER=${CARGO_TARGET_DIR:-$PWD/target}/debug/cargo-transient exec --")
for number in $(seq 20); do
    run "runner-$number" suite "${runner[@]}" cargo nextest run --manifest-path "$suite/Cargo.toml"
done
run runner-cargo suite "${runner[@]}" cargo test --manifest-path "$suite/Cargo.toml"
echo "with one Redis for all, $red of 20 runs failed; behind cargo transient exec, none"
