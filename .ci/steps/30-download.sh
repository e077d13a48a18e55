# The README's two commands on a minimal machine, where the server is downloaded.
bare=$(minimal_path)
for number in 0 1; do
    run "download-$number" env PATH="$bare" "$no_engine" EXPECTED_PROVIDER=download RACES=all \
        XDG_CACHE_HOME="$scratch/download" RUST_TEST_NOCAPTURE=1 bash -c "$(readme_command $number)"
done
check_provider download "$logs"/download-*.log
