#!/usr/bin/env python3
"""Ends tests at random moments, in eleven ways, and counts the survivors.

    tests/torture.py [--runs 100] [--ways sigkill,stopped] [--containers 0]

Each run is a process of the test binary `it` with its own temporary directory. A second after it has ended, its server,
supervisor, socket and directory must be gone; 15 seconds after the last run, so must all containers. Late clean-ups are
counted, since a busy machine causes some. They fail the script if they are a quarter of the runs of one way.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import pty
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
GONE_WITHIN = 1.0
# On a busy machine, cleaning up may take this long.
GIVEN_UP_AFTER = 15.0
CONTAINERS_GIVEN_UP_AFTER = 75.0


DIRECTORIES = []


def test_binary():
    command = ["cargo", "test", "--workspace", "--test", "it", "--no-run", "--message-format=json"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    messages = map(json.loads, output.splitlines())
    return next(message["executable"] for message in messages if (message.get("target") or {}).get("name") == "it" and message.get("executable"))


def processes_of(temporary):
    """Returns the processes of a run, by command line, working directory and environment. (A running server changes its
    command line, but its working directory is its own, even if that was removed.)"""
    needle, found = str(temporary).encode() + b"/", []
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            traces = [(directory / "cmdline").read_bytes(), os.readlink(directory / "cwd").encode() + b"/"]
            traces += [variable + b"/" for variable in (directory / "environ").read_bytes().split(b"\0")]
            if any(needle in trace for trace in traces):
                found.append(f"{directory.name}: {traces[0].decode(errors='replace')}")
        except OSError:
            pass
    return found


def survivors(temporary):
    return list(temporary.iterdir()) + processes_of(temporary)


class Failed(Exception):
    """A run ended in the wrong way."""


class Run:
    def __init__(self, binary, way, temporary, provider):
        self.held = True
        self.lasts = random.uniform(0, 0.06)
        # From before the server starts until after the test ends.
        self.after = random.uniform(0, 1.0 if provider == "container" else 0.09)
        test = "torture::guarded_victim" if way == "panic" and random.random() < 0.5 else "torture::victim"
        self.command = [binary, test, "--exact", "--include-ignored", "--nocapture"]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TRANSIENT_", "NEXTEST"))},
            "TMPDIR": str(temporary),
            "TRANSIENT_PROVIDER": provider,
            "TRANSIENT_TEST_INI": str(ROOT / "tests/it/nothing.ini"),
            "WAY": way,
            "AFTER_MICROSECONDS": str(int(self.after * 1e6)),
            "LASTS_MICROSECONDS": str(int(self.lasts * 1e6)),
            "RUST_BACKTRACE": "0",
        }
        if provider == "container":
            self.environment["TRANSIENT_IMAGE"] = os.environ["SERVER_IMAGE"]

    def start(self, *before, output=subprocess.DEVNULL):
        return subprocess.Popen(
            [*before, *self.command],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output != subprocess.DEVNULL else output,
            start_new_session=True,
        )

    def wait(self, child):
        try:
            return child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Failed(f"a run of {self.environment['WAY']} hung")

    # These ways are taken by the process itself.
    def by_itself(self):
        self.wait(self.start())

    panic = exit = abort = static = forget = by_itself

    def sigkill(self):
        child = self.start()
        time.sleep(self.after)
        child.kill()
        child.wait()

    def runner(self):
        """The runner is killed, and its test runs on for a moment."""
        child = self.start("/bin/sh", "-c", '"$@"; exit $?', "runner")
        time.sleep(self.after)
        child.kill()
        child.wait()
        deadline = time.monotonic() + 10
        while self.is_running() and time.monotonic() < deadline:
            time.sleep(0.005)

    def is_running(self):
        marker = f"TMPDIR={self.environment['TMPDIR']}\0".encode()
        for directory in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                ours = (directory / "cmdline").read_bytes().startswith(self.command[0].encode())
                if ours and marker in (directory / "environ").read_bytes():
                    return True
            except OSError:
                pass
        return False

    def group(self):
        child = self.start("/bin/sh", "-c", '"$@"; exit $?', "runner")
        time.sleep(self.after)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def terminal(self):
        """The test's terminal is closed."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(self.command[0], self.command, self.environment)
        time.sleep(self.after)
        os.close(terminal)
        os.waitpid(pid, 0)

    def forked(self):
        """Another process holds the pipes of the killed process open, as a forked child would."""
        child = self.start()
        time.sleep(self.after)
        held = []
        for entry in pathlib.Path(f"/proc/{child.pid}/fd").glob("*") if child.poll() is None else []:
            try:
                if os.readlink(entry).startswith("pipe:"):
                    held.append(os.open(entry, os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                pass
        child.kill()
        child.wait()
        self.held = bool(held)
        return held

    def stopped(self):
        """A process that is suspended and resumed still has its server."""
        with tempfile.TemporaryFile() as output:
            child = self.start(output=output)
            time.sleep(self.after)
            child.send_signal(signal.SIGSTOP)
            time.sleep(random.uniform(0.6, 1.6))
            child.send_signal(signal.SIGCONT)
            if self.wait(child) != 0:
                output.seek(0)
                raise Failed(f"a test failed after it was stopped for a while:\n{output.read().decode()}")


WAYS = ["panic", "exit", "abort", "static", "forget", "sigkill", "runner", "group", "terminal", "forked", "stopped"]


def one(binary, way, directory, number, provider):
    temporary = directory / f"{way}-{number}"
    temporary.mkdir()
    run = Run(binary, way, temporary, provider)
    held = getattr(run, way)() or []
    end = time.monotonic()
    while (left := survivors(temporary)) and time.monotonic() - end < GIVEN_UP_AFTER:
        time.sleep(0.01)
    took = time.monotonic() - end
    for descriptor in held:
        os.close(descriptor)
    if left:
        print(f"{way}: {left}", file=sys.stderr)
    else:
        temporary.rmdir()
    return way, len(left), took, run.held


def containers():
    """Returns the containers of our image: other programs can have containers, too."""
    command = ["docker", "ps", "--all", "--filter", "label=transient-fixtures.owner", "--format", "{{.Image}} {{.ID}} {{.Status}}"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [line for line in lines if line.split()[0] == os.environ["SERVER_IMAGE"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100, help="of each way")
    parser.add_argument("--ways", type=lambda text: text.split(","), default=WAYS, help="some of " + ",".join(WAYS))
    parser.add_argument("--containers", type=int, default=0, help="runs on containers")
    arguments = parser.parse_args()
    binary = test_binary()
    provider = "process" if shutil.which("redis-server") or shutil.which("valkey-server") else "download"
    directory = pathlib.Path(tempfile.mkdtemp(prefix="t-"))
    DIRECTORIES.append(directory)
    left, slowest, count = collections.Counter(), collections.defaultdict(float), collections.Counter()
    late, held = collections.Counter(), collections.Counter()
    # Run few at once: the limit of one second is for our code, not for the machine.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        runs = [(way, number) for number in range(arguments.runs) for way in arguments.ways]
        results = pool.map(lambda run: one(binary, *run[:1], directory, run[1], provider), runs)
        for way, survived, took, was_held in results:
            left[way] += survived
            count[way] += 1
            late[way] += took > GONE_WITHIN
            held[way] += was_held
            slowest[way] = max(slowest[way], took)
    for way in arguments.ways:
        print(
            f"{way:<9} {count[way]:>5} runs, {left[way]} survivors, {late[way]} later than {GONE_WITHIN:.0f} s, "
            f"gone after {slowest[way]:.2f} s at the most"
        )
    total = sum(left.values())
    # A way that was never exercised proves nothing.
    if "forked" in arguments.ways and held["forked"] * 4 < count["forked"]:
        raise Failed(f"only {held['forked']} of {count['forked']} runs had a pipe to hold")
    # A busy machine makes some runs late, but not a quarter of them.
    for way in arguments.ways:
        if late[way] * 4 > count[way]:
            raise Failed(f"{late[way]} of {count[way]} runs of {way} were late")

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        def contained(number):
            temporary = directory / f"container-{number}"
            temporary.mkdir()
            way = arguments.ways[number % len(arguments.ways)]
            for descriptor in getattr(Run(binary, way, temporary, "container"), way)() or []:
                os.close(descriptor)

        list(pool.map(contained, range(arguments.containers)))
    if arguments.containers:
        end = time.monotonic()
        while (here := containers()) and time.monotonic() - end < CONTAINERS_GIVEN_UP_AFTER:
            time.sleep(0.2)
        print(f"container {arguments.containers:>5} runs, {len(here)} survivors, gone after {time.monotonic() - end:.1f} s")
        for line in here:
            print(line, file=sys.stderr)
        total += len(here)
    print(f"survivors: {total}")
    return total


def guarded():
    try:
        return main() > 0
    except Failed as failed:
        print(f"FAILED: {failed}", file=sys.stderr)
        return True
    finally:
        for directory in DIRECTORIES:
            shutil.rmtree(directory, ignore_errors=True)


sys.exit(guarded())
