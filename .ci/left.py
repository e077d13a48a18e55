#!/usr/bin/env python3
"""left.py PID [--pids]: lists the descendants of a process, except this program and its ancestors."""

import os
import pathlib
import sys


def parents():
    found = {}
    for directory in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            # Split after the name, which can contain spaces and parentheses.
            state, parent = (directory / "stat").read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        # A zombie has ended.
        if state not in "ZX":
            found[int(directory.name)] = int(parent)
    return found


def main():
    root, parent = int(sys.argv[1]), parents()

    def above(pid):
        while pid in parent:
            yield pid
            pid = parent[pid]

    ours = set(above(os.getpid()))
    for pid in sorted(parent):
        if pid not in ours and root in above(pid):
            line = "" if "--pids" in sys.argv else pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
            print(pid, line.replace("\0", " "))


main()
