# The documentation in new crates, with foreign data on port 6379: the README's first chapter, and all code in docs.
needs packages download images
export CARGO_TARGET_DIR=$PWD/target
stranger=$scratch/stranger fresh=$scratch/fresh
run fresh env TRANSIENT_PROVIDER=process .ci/stranger.py "$fresh" "$stranger"
grep -a '^commands to the first green test: ' "$logs/fresh.log"
# The same test on the other providers. Containers need their feature.
cp -r "$fresh" "$fresh-container"
sed -i '/^transient-fixtures/s/default-features = false/default-features = false, features = ["container"]/' "$fresh-container/Cargo.toml"
run fresh-download env TRANSIENT_PROVIDER=download cargo test --manifest-path "$fresh/Cargo.toml"
run fresh-container env TRANSIENT_PROVIDER=container TRANSIENT_IMAGE="$images/redis:7" \
    cargo test --manifest-path "$fresh-container/Cargo.toml"

start_redis
run fresh-running "${inside[@]}" env TRANSIENT_PROVIDER=running cargo test --manifest-path "$fresh/Cargo.toml"
inside_cli() { "${inside[@]}" redis-cli -n "$@"; }
# It leaves its price there.
inside_cli 0 flushall >/dev/null
for database in 0 14 15; do inside_cli "$database" set cart:1 "production" >/dev/null; done
run stranger-build cargo test --manifest-path "$stranger/Cargo.toml" --no-run
run stranger "${inside[@]}" env "$no_engine" RUST_TEST_NOCAPTURE=1 cargo test --manifest-path "$stranger/Cargo.toml"
grep -aqE 'not used: .*redis://127\.0\.0\.1:6379.* database 14 .*1 key' "$logs/stranger.log" ||
    fail "the output does not state why the Redis at 6379 is not used"
for database in 0 14 15; do
    [ "$(inside_cli "$database" keys '*') $(inside_cli "$database" get cart:1)" = "cart:1 production" ] ||
        fail "database $database of the stranger's Redis was touched"
done
