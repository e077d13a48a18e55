"""full_disk.py WHAT COMMAND…: runs a command whose temporary directory is a disk without room for `bytes` or `names`.
Prints its exit code and what it has left there. The disk is in a namespace, and gone at the end."""
import ctypes
import os
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
libc, directory = ctypes.CDLL(None, use_errno=True), os.environ["TMPDIR"]
maps = {"setgroups": "deny", "uid_map": f"{os.geteuid()} {os.geteuid()} 1", "gid_map": f"{os.getegid()} {os.getegid()} 1"}


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


check(libc.unshare(CLONE_NEWNS | CLONE_NEWUSER))
for name, text in maps.items():
    with open(f"/proc/self/{name}", "w") as file:
        file.write(text)
options = {"bytes": b"size=64k", "names": b"nr_inodes=3"}[sys.argv[1]]
check(libc.mount(b"tmpfs", directory.encode(), b"tmpfs", 0, options))
full = os.path.join(directory, "full")
with open(full, "wb") as file:
    try:
        while sys.argv[1] == "bytes":
            os.write(file.fileno(), b"x" * 4096)
    except OSError:
        pass  # Full.
try:
    while sys.argv[1] == "names":
        os.mkdir(f"{full}{len(os.listdir(directory))}")
except OSError:
    pass  # Full.
code = subprocess.run(sys.argv[2:]).returncode
left = [name for name in os.listdir(directory) if not name.startswith("full")]
print(f"exit {code}, left: {left or 'nothing'}")
