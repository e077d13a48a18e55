# docs.rs labels every public item that needs a feature.
docs() {
    # Otherwise cargo can take the pages of the other features for up to date.
    rm -rf "${CARGO_TARGET_DIR:-target}/doc/transient_fixtures"
    RUSTDOC=$PWD/.ci/rustdoc cargo rustdoc --lib "$2" -- --cfg docsrs
    cp -r "${CARGO_TARGET_DIR:-target}/doc/transient_fixtures" "$scratch/docs-$1"
}
run labels-core docs core --no-default-features
run labels-full docs full --all-features
run labels python3 .ci/labels.py "$scratch/docs-core" "$scratch/docs-full"
cat "$logs/labels.log"
