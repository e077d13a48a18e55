# The pinned hashes match the wheels of all platforms and the servers inside them.
# Runs in the background.
run platforms python3 .ci/platforms.py src/provider/download.rs "$scratch/platforms"
cat "$logs/platforms.log"
