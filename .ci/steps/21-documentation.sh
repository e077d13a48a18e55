# The documentation builds without a warning.
run documentation env RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features
