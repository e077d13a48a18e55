# insta, by a package that knows the README.
needs packages
run snapshots env "$no_engine" INSTA_UPDATE=no bash -c 'cd examples/snapshots && cargo test'
