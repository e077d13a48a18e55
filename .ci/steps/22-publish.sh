# Both packages could be published, and build from what would be uploaded.
# Not yet published, the library finds its macros only in a dry run of both.
# Without features, which are built everywhere else.
run publish cargo publish --workspace --dry-run --allow-dirty --no-default-features
