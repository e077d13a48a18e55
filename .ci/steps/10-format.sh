# Everything is formatted.
for package in . interop benches examples/snapshots; do
    run "format-$(basename "$(realpath "$package")")" cargo fmt --all --check --manifest-path "$package/Cargo.toml"
done
