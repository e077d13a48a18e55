# The benches build.
run benches bash -c "cd benches && CARGO_TARGET_DIR=../target cargo check --all-targets"
