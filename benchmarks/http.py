"""The service and the floor behind gunicorn, under the same flags: CPU of the server for each request, in turns."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from benchmarks import samples, wsgi

_CLOCK = os.sysconf('SC_CLK_TCK')

#: Operation -> how many times the floor's CPU it may take at the most, by driver.
BARS = {'memory': {'ping': 1.2, 'list-10': 1.2, 'post-1': 1.2}, 'sqlite': {'ping': 1.6, 'list-10': 1.6, 'post-1': 1.6}}


def _free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


class Server:
    """A server process on a port of its own, with what it has used of the CPU."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None):
        self.port = _free_port()
        bind = ['--bind', f'127.0.0.1:{self.port}']
        self._process = subprocess.Popen(
            [sys.executable, '-m', *command, *bind],
            env={**os.environ, **(environment or {})},
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', self.port), 1):
                return
            time.sleep(0.1)
        raise RuntimeError(f'{command} did not start')

    def cpu(self) -> float:
        """Seconds of CPU that the whole process group has used."""
        used = 0
        for stat in pathlib.Path('/proc').glob('[0-9]*/stat'):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(')')[2].split()
                if int(fields[2]) == self._process.pid:
                    used += int(fields[11]) + int(fields[12])
        return used / _CLOCK

    def stop(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(40)


def raw_request(request: wsgi.Request) -> bytes:
    head = [f'{request.method} {request.target} HTTP/1.1', 'Host: benchmark']
    head += [f'{name}: {value}' for name, value in wsgi.HEADERS.items()]
    if request.body:
        head.append(f'Content-Length: {len(request.body)}')
    return '\r\n'.join(head).encode() + b'\r\n\r\n' + request.body


def load(port: int, request: wsgi.Request, connections: int, seconds: float) -> tuple[int, list[float]]:
    """Send `request` over and over on each of `connections`; (answers, seconds each took)."""
    raw = raw_request(request)
    stop = time.perf_counter() + seconds
    taken = [[] for _ in range(connections)]

    def send(times):
        with socket.create_connection(('127.0.0.1', port), 10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream = connection.makefile('rb')
            while (began := time.perf_counter()) < stop:
                connection.sendall(raw)
                status = stream.readline()
                if not status.startswith(b'HTTP/1.1 2'):
                    raise RuntimeError(f'{request.target} answered {status!r}')
                length = 0
                while (line := stream.readline()) not in (b'\r\n', b''):
                    name, _, value = line.partition(b':')
                    if name.lower() == b'content-length':
                        length = int(value)
                stream.read(length)
                times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=send, args=(times,)) for times in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flat = [one for times in taken for one in times]
    return len(flat), flat


def run(driver: str, workers: int, threads: int, rounds: int = 5, connections: int = 16, seconds: float = 2.0):
    """Measure `driver` behind gunicorn: {operation: {floor, service (us of CPU), ratio, bar, rates, latencies}}."""
    directory = tempfile.mkdtemp(prefix='queueservice-benchmark-')
    flags = ['--workers', str(workers), '--threads', str(threads)]
    servers = {
        'floor': Server(['gunicorn', '-k', 'gthread', '--no-control-socket', 'benchmarks.floor_server', *flags]),
        'service': Server(
            ['queueservice.cmd.server', *flags], {'OS_STORAGE__DRIVER': driver, 'XDG_STATE_HOME': directory}
        ),
    }
    requests = {
        'ping': wsgi.Request('GET', samples.ROUTES['ping']),
        'list-10': wsgi.Request('GET', f'{samples.PATH}/messages?limit=10&echo=true'),
        'post-1': samples.post(1),
    }
    results = {}
    try:
        for server in servers.values():
            load(server.port, requests['post-1'], connections, 0.5)
        for name, request in requests.items():
            cpu, rates, medians = ({who: [] for who in servers} for _ in range(3))
            for _ in range(rounds):
                for who, server in servers.items():
                    before = server.cpu()
                    count, taken = load(server.port, request, connections, seconds)
                    cpu[who].append((server.cpu() - before) / count * 1e6)
                    rates[who].append(count / seconds)
                    medians[who].append(statistics.median(taken) * 1e3)
            used = {who: round(statistics.median(each), 1) for who, each in cpu.items()}
            results[name] = {
                **used,
                'ratio': round(used['service'] / used['floor'], 2),
                'bar': BARS[driver][name],
                'requests_per_second': {who: round(statistics.median(each)) for who, each in rates.items()},
                'median_ms': {who: round(statistics.median(each), 2) for who, each in medians.items()},
            }
    finally:
        for server in servers.values():
            server.stop()
        shutil.rmtree(directory, ignore_errors=True)
    return results


if __name__ == '__main__':
    for operation, row in run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])).items():
        print(f'{operation:10}', row)
