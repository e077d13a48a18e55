# All packages can be published, and build from the uploaded files.
# The macros are not on the registry yet, so the dry run must include all packages. Other steps build the features.
run publish cargo publish --workspace --dry-run --allow-dirty --no-default-features
