# A bare machine, where the server is downloaded: the README's two commands.
bare=$(bare)
for number in 0 1; do
    run "download-$number" env PATH="$bare" "$no_engine" EXPECTED_PROVIDER=download \
        XDG_CACHE_HOME="$scratch/download" RUST_TEST_NOCAPTURE=1 bash -c "$(promised $number)"
done
served download "$logs"/download-*.log
