# The servers of the other platforms are those that we know.
# Beside what follows.
run platforms python3 .ci/platforms.py src/provider/download.rs "$scratch/platforms"
cat "$logs/platforms.log"
