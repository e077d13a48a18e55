# Every file in examples/ runs.
needs packages
# As `cargo test --workspace` builds them, so that nothing is built twice.
run examples-build cargo build --workspace --examples
for example in examples/*.rs; do
    name=$(basename "$example" .rs)
    run "example-$name" env TRANSIENT_PROVIDER=process "${CARGO_TARGET_DIR:-target}/debug/examples/$name"
done
