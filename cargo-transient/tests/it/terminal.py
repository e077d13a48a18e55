"""terminal.py WHAT COMMAND…: runs a command in a terminal of its own, and when it has printed "ready", presses a key such
as ctrl-C and Enter, or closes the terminal, or only watches. Prints its output and its exit code."""
import os
import pty
import sys

what, command = sys.argv[1], sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
output = b""


def read():
    try:
        return os.read(terminal, 1024)
    except OSError:  # The other side is closed.
        return b""


while b"ready\r\n" not in output:
    piece = read()
    assert piece, output
    output += piece
if what != "close":
    if what.startswith("ctrl-"):
        os.write(terminal, bytes([ord(what[-1]) & 0x1F]) + b"\n")
    while piece := read():
        output += piece
else:
    os.close(terminal)
_, status = os.waitpid(pid, 0)
print(output.decode().replace("\r\n", "\n"), end="")
print("exit", os.waitstatus_to_exitcode(status))
