# insta, by a package that knows the README.
needs packages
run snapshots env TRANSIENT_PROVIDER=process INSTA_UPDATE=no CARGO_TARGET_DIR="$PWD/target" \
    bash -c 'cd examples/snapshots && cargo test'
