# The servers of the other platforms are those that we know. Beside what follows.
run other-platforms python3 .ci/other_platforms.py src/server/download.rs "$scratch/other-platforms"
cat "$logs/other-platforms.log"
