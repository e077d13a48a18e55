#!/usr/bin/env python3
"""Runs a test binary again and again under a first process that reaps nobody, and counts the zombies.

    tests/zombies.py [--runs 50]

It needs root, for a PID namespace of its own. Each run is an ordinary one of a few tests, by a user who may have 200
processes and threads: what is left of the earlier runs would soon keep the next one from starting.
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

# Of the user, with their threads.
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
    """PID 1 of the namespace: waits for its own child only, by its pid."""
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
        # As an orphan of the namespace would: only this one child is ever waited for.
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
        # Not in TMPDIR, which may be root's alone.
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            return first_process(arguments.inside, arguments.runs, directory)
    inside = [sys.executable, __file__, "--inside", test_binary(), "--runs", str(arguments.runs)]
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", *inside], check=False).returncode


sys.exit(main())
