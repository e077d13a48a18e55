#!/usr/bin/env python3
"""adopt.py PROGRAM ARGUMENT…: the program adopts what its descendants leave behind, instead of the machine's first
process. So everything that it has started, by whatever way, stays below it."""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36

if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv("/bin/bash", ["bash", *sys.argv[1:]])
