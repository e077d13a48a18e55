"""A Redis client: client.py URL COMMAND… prints the reply to each command, one on a line."""
import socket
import sys
from urllib.parse import urlsplit


def main(url, commands):
    parts = urlsplit(url)
    server = socket.create_connection((parts.hostname, parts.port), timeout=60)
    replies = server.makefile("r")

    def ask(command):
        server.sendall(command.encode() + b"\r\n")
        line = replies.readline().rstrip()
        return replies.readline().rstrip() if line[0] == "$" and line != "$-1" else line

    if parts.password:
        assert ask(f"AUTH {parts.password}") == "+OK"
    if parts.path.strip("/"):
        assert ask(f"SELECT {parts.path.strip('/')}") == "+OK"
    for command in commands:
        print(ask(command))


main(sys.argv[1], sys.argv[2:])
