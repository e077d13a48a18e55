# Snapshots with insta, in a package that follows the README.
needs packages
run snapshots env TRANSIENT_PROVIDER=process INSTA_UPDATE=no CARGO_TARGET_DIR="$PWD/target" \
    bash -c 'cd examples/snapshots && cargo test'
