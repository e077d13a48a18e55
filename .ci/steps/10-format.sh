# Everything is formatted.
for package in . interop benches examples/snapshots examples/porting cargo-transient/tests/suite interop/hard-coded .ci/public-api; do
    run "format-$(basename "$(realpath "$package")")" cargo fmt --all --check --manifest-path "$package/Cargo.toml"
done
