#!/usr/bin/env python3
"""Runs a test binary repeatedly under a first process that does not reap orphans, and counts the zombies.

    tests/zombies.py [--runs 50]

Needs root, for its own PID namespace. Each run has a few ordinary tests, by a user with a limit of 200 processes and
threads: zombies of earlier runs would soon prevent the next run from starting.
"""

import argparse
import json
import os
import pathlib
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The user's limit on processes and threads.
PROCESSES = 200


def test_binary():
    command = ["cargo", "test", "--workspace", "--test", "it", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    messages = map(json.loads, output.splitlines())
    return next(message["executable"] for message in messages if (message.get("target") or {}).get("name") == "it" and message.get("executable"))


def zombies():
    found = 0
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            found += (directory / "stat").read_text().rsplit(") ", 1)[1].startswith("Z")
        except OSError:
            pass
    return found


def first_process(binary, runs, directory):
    """Runs as PID 1 of the namespace, and reaps only its own children, by pid."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRANSIENT", "NEXTEST"))}
    settings = shutil.copy(ROOT / "tests/it/nothing.ini", directory)
    binary = shutil.copy(binary, directory)
    home = pathlib.Path(directory, "home")
    home.mkdir()
    nobody = pwd.getpwnam("nobody")
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    os.chmod(directory, 0o755)
    environment |= {"TRANSIENT_TEST_INI": settings, "HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home)}
    user = {
        "user": nobody.pw_uid,
        "group": nobody.pw_gid,
        "extra_groups": [],
        "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES)),
    }
    for number in range(runs):
        run = [binary, "lease::one_server::", "--test-threads=2"]
        # Reap only this child, by its pid: orphans in the namespace stay zombies.
        result = subprocess.run(run, cwd=home, env=environment, capture_output=True, text=True, **user)
        if result.returncode != 0:
            print(f"run {number + 1} failed with {zombies()} zombies:\n{result.stdout[-3000:]}{result.stderr[-3000:]}")
            return 1
    left = zombies()
    print(f"{runs} runs, {left} zombies")
    return 0 if left <= 10 else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        # Other users may not be able to read TMPDIR.
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            return first_process(arguments.inside, arguments.runs, directory)
    inside = [sys.executable, __file__, "--inside", test_binary(), "--runs", str(arguments.runs)]
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", *inside], check=False).returncode


sys.exit(main())
