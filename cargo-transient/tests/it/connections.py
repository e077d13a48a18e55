"""connections.py PORT: what a forward could break. Prints "fine"."""
import resource
import socket
import sys
import threading

PORT = int(sys.argv[1])


class Connection:
    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", PORT), timeout=120)
        self.replies = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        return self.replies.readline()

    def ask(self, command):
        self.send(command + b"\r\n")
        return self.line()

    def clients(self):
        """The server's list of its clients."""
        length = int(self.ask(b"CLIENT LIST")[1:])
        return self.replies.read(length + 2)

    def close(self):
        self.replies.close()
        self.socket.close()


def big_values():
    connection, value = Connection(), bytes(range(256)) * (32 << 12)
    header = b"$%d\r\n" % len(value)
    connection.send(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n" + header + value + b"\r\n")
    assert connection.line() == b"+OK\r\n"
    assert connection.ask(b"GET big") == header
    assert connection.replies.read(len(value)) == value


def pipeline_that_is_read_late():
    connection, count = Connection(), 20_000
    # The replies are far more than what sockets and the forward hold.
    assert connection.ask(b"SET late " + b"x" * 1000) == b"+OK\r\n"
    connection.send(b"GET late\r\n" * count)
    for _ in range(count):
        assert connection.line() == b"$1000\r\n" and len(connection.line()) == 1002


def half_closed():
    connection = Connection()
    connection.send(b"PING\r\nPING\r\n")
    assert connection.line() == b"+PONG\r\n"
    connection.socket.shutdown(socket.SHUT_WR)
    assert connection.replies.read() == b"+PONG\r\n"


def blocking_commands():
    waiting, others = Connection(), Connection()
    waiting.send(b"BLPOP queue 0\r\n")
    while b" cmd=blpop " not in others.clients():
        pass
    assert others.ask(b"RPUSH queue job") == b":1\r\n"
    assert [waiting.line() for _ in range(5)][4] == b"job\r\n"


def closed_by_the_server():
    connection = Connection()
    assert connection.ask(b"QUIT") == b"+OK\r\n"
    assert connection.replies.read() == b""
    # The reply to rubbish arrives, although the server closes while more is on its way.
    connection = Connection()
    connection.send(b"*1\r\nrubbish\r\n")
    assert connection.line().startswith(b"-ERR Protocol error")
    assert connection.replies.read() == b""


def closed_by_the_client():
    connection, others = Connection(), Connection()
    connection.send(b"BLPOP nothing 0\r\n")
    while b" cmd=blpop " not in others.clients():
        pass
    connection.close()
    while b" cmd=blpop " in others.clients():
        pass


def thousand_connections():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    connections = [Connection() for _ in range(1000)]
    for connection in connections:
        connection.send(b"INCR visits\r\n")
    assert sorted(int(connection.line()[1:]) for connection in connections) == list(range(1, 1001))


def many_at_once():
    def work():
        for _ in range(20):
            connection = Connection()
            assert connection.ask(b"PING") == b"+PONG\r\n"
            connection.close()
    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


for check in (big_values, pipeline_that_is_read_late, half_closed, blocking_commands, closed_by_the_server,
              closed_by_the_client, many_at_once, thousand_connections):
    check()
print("fine")
