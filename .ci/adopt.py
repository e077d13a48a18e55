#!/usr/bin/env python3
"""adopt.py PROGRAM ARGUMENT…: runs bash as a subreaper. It becomes the parent of its orphaned descendants, so that all
processes that it has started stay below it."""

import ctypes
import os
import sys

PR_SET_CHILD_SUBREAPER = 36

if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv("/bin/bash", ["bash", *sys.argv[1:]])
