# All packages can be published, and build from the uploaded files.
# The macros are not on the registry yet, so the dry run must include all packages. Other steps build the features.
# cargo unpacks each package once for each path of the target directory, and would use an earlier run's files.
ln -s "$PWD/target" "$scratch/target"
run publish cargo publish --workspace --dry-run --allow-dirty --no-default-features --target-dir "$scratch/target"
