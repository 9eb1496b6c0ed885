"""queueservice-server: the service behind gunicorn, in one process tree."""

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys

from gunicorn import arbiter
from gunicorn.app import base
from oslo_config import cfg

from queueservice import bootstrap
from queueservice.cmd import deliverer, listener, startup
from queueservice.storage import base as storage_base
from queueservice.storage import errors as storage_errors
from queueservice.worker import loop

_LOG = logging.getLogger(__name__)

#: The process that delivers ends within the timeout of an attempt and five seconds; then it is killed.
_DELIVERY_MARGIN = 7

#: What the server says at its start.
_AUTHENTICATION = {
    'noauth': 'none; X-Project-Id is believed',
    'tokens': 'tokens, as "queueservice-manage token create" makes them',
    'keystone': 'Keystone, and tokens as "queueservice-manage token create" makes them',
}


def main(argv: list[str] | None = None) -> int:
    parser = startup.Parser(prog='queueservice-server', description='Serve the queueing API.')
    parser.add_argument('--bind', metavar='HOST:PORT', help='listen here ([server] host, port)')
    parser.add_argument('--workers', type=int, metavar='N', help='processes ([server] workers)')
    parser.add_argument('--threads', type=int, metavar='N', help='threads of each process ([server] threads)')
    parser.add_argument('--access-log', action='store_true', default=None, help='log one line for each request')
    parser.add_argument(
        '--no-worker', action='store_false', dest='worker', default=None, help='deliver nothing ([server] worker)'
    )
    arguments = parser.parse_args(argv)
    try:
        Server(arguments).run()
    except startup.Refusal as refusal:
        print(f'queueservice-server: {refusal}', file=sys.stderr)
        return refusal.status
    return 0


class Server(base.BaseApplication):
    """gunicorn's application: reads the configuration at start and again on SIGHUP."""

    def __init__(self, arguments: argparse.Namespace):
        self._arguments = arguments
        self._conf: cfg.ConfigOpts | None = None
        self._driver: storage_base.Driver | None = None
        self._worker: loop.Worker | None = None
        super().__init__()

    def do_load_config(self):
        # gunicorn's own turns every exception into its idea of a message and of an exit status.
        self.load_default_config()
        self.load_config()

    def load_config(self):
        try:
            conf = _read_configuration(self._arguments)
            _check_settings(conf)
            driver = startup.build_driver(conf)
            settings = _gunicorn_settings(conf, driver)
            _check_authentication(conf, driver)
            risks = _find_risks(conf)
            if self._driver is not None and driver.location != self._driver.location:
                _prepare(driver)
        except startup.Refusal as refusal:
            if self._conf is None:
                raise
            print(f'queueservice-server: the old configuration stays: {refusal}', file=sys.stderr)
            conf, driver, risks = self._conf, self._driver, []
            settings = _gunicorn_settings(conf, driver)
        self._conf, self._driver = conf, driver
        bootstrap.setup_logging(conf)
        for risk in risks:
            _LOG.warning('%s', risk)
        for name, value in settings.items():
            self.cfg.set(name, value)
        self.cfg.set('when_ready', self._announce)
        self.cfg.set('post_worker_init', self._begin_work)
        self.cfg.set('worker_exit', self._end_work)

    def load(self):
        # In each worker, so that nothing of the storage is open across the fork.
        self._services = bootstrap.load_services(self._conf, self._driver)
        return bootstrap.build_application(self._conf, self._services)

    def run(self):
        _check_port(self._conf)
        _prepare(self._driver)
        _Arbiter(self).run()

    def _announce(self, server):
        host, port = self._conf.server.host, self._conf.server.port
        shown = f'[{host}]' if ':' in host else host
        print(f'queueservice {startup.version()} is listening on http://{shown}:{port}')
        print(f'  storage: {self._conf.storage.driver}, {self._driver.location}')
        print(f'  workers: {self.cfg.workers}, with {self.cfg.threads} threads each')
        print(f'  delivery: {self._describe_delivery()}')
        print(f'  authentication: {_AUTHENTICATION[self._conf.auth_strategy]}', flush=True)

    def _describe_delivery(self):
        if not self._conf.server.worker:
            return 'none from here'
        place = 'a process of its own' if self._driver.shared else 'the same process'
        return f'{place}, {self._conf.delivery.workers} deliveries at a time'

    def has_deliverer(self) -> bool:
        """Whether a process of its own delivers."""
        return self._conf.server.worker and self._driver.shared

    def delivery_grace(self) -> float:
        """Seconds within which the process that delivers ends."""
        return self._conf.delivery.timeout + _DELIVERY_MARGIN

    def load_for_delivery(self) -> bootstrap.Services:
        """The services of the process that delivers."""
        return bootstrap.load_services(self._conf, self._driver)

    def _begin_work(self, worker):
        # Ctrl-C reaches the whole process group; only the arbiter acts on it, so that requests can finish.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._services.housekeeping.start()
        if self._conf.server.worker and not self._driver.shared:
            self._worker = bootstrap.build_worker(self._services)
            self._worker.start()

    def _end_work(self, server, worker):
        if self._worker is not None:
            self._worker.stop()
        self._services.housekeeping.stop()
        self._driver.close()


class _Arbiter(arbiter.Arbiter):
    """gunicorn's, which also sees to the process that delivers."""

    def __init__(self, app):
        super().__init__(app)
        self._deliverer = deliverer.Deliverer(self._load_for_delivery)

    def handle_int(self):
        """SIGINT, like SIGTERM, lets requests in progress finish."""
        self.handle_term()

    def manage_workers(self):
        super().manage_workers()
        if self.app.has_deliverer():
            self._deliverer.tend()

    def reload(self):
        super().reload()
        if self.app.has_deliverer():
            self._deliverer.replace()
        else:
            self._deliverer.tell()

    def stop(self, graceful=True):
        self._deliverer.tell()
        super().stop(graceful)
        self._deliverer.wait(self.app.delivery_grace())

    def _load_for_delivery(self):
        # In the new process. A port that it kept open could not be listened on by the next server.
        for listening in self.LISTENERS:
            os.close(listening.sock.detach())
        return self.app.load_for_delivery()


def _read_configuration(arguments):
    overrides = {
        'server.workers': arguments.workers,
        'server.threads': arguments.threads,
        'server.access_log': arguments.access_log,
        'server.worker': arguments.worker,
    }
    if arguments.bind is not None:
        host, _, port = arguments.bind.rpartition(':')
        if not host or not port.isdigit():
            raise startup.Refusal(f'--bind {arguments.bind} is not HOST:PORT.')
        overrides['server.host'] = host.strip('[]')
        overrides['server.port'] = int(port)
    return startup.read_configuration(arguments, **overrides)


def _check_settings(conf):
    try:
        bootstrap.read_settings(conf)
    except ValueError as error:
        raise startup.Refusal(str(error)) from None


def _find_risks(conf):
    try:
        bootstrap.read_cors(conf)
        return bootstrap.find_risks(conf)
    except ValueError as error:
        raise startup.Refusal(str(error)) from None


def _gunicorn_settings(conf, driver):
    server = conf.server
    if conf.auth_strategy == 'noauth' and not server.allow_open_noauth and not _is_loopback(server.host):
        raise startup.Refusal(
            f'Without authentication only loopback addresses may be listened on, and {server.host} is none. '
            'Set [DEFAULT] auth_strategy, or [server] allow_open_noauth = true if everybody who reaches it may use '
            'every project.'
        )
    if not driver.shared and (server.workers or 1) > 1:
        raise startup.Refusal(
            f'The storage driver "{conf.storage.driver}" keeps messages inside one process, so [server] workers must '
            f'be 1, not {server.workers}.'
        )
    host = f'[{server.host}]' if ':' in server.host else server.host
    return {
        'bind': f'{host}:{server.port}',
        'workers': server.workers or (min(os.cpu_count() or 1, 8) if driver.shared else 1),
        'threads': server.threads,
        'worker_class': listener.Worker,
        'logger_class': listener.Logger,
        # Seconds that a silent connection stays open; it takes no thread. nginx.conf lets go of its own sooner.
        'keepalive': 5,
        'accesslog': '-' if server.access_log else None,
        'graceful_timeout': server.graceful_timeout,
        'limit_request_line': server.limit_request_line,
        'limit_request_fields': server.limit_request_fields,
        'limit_request_field_size': server.limit_request_field_size,
        'loglevel': 'warning',
        'proc_name': 'queueservice-server',
        'control_socket_disable': True,
        # What a client says of its own address and scheme means nothing, and X_Project_Id is not X-Project-Id.
        'forwarded_allow_ips': '',
        'forwarder_headers': '',
        'header_map': 'drop',
    }


def _check_authentication(conf, driver):
    if conf.auth_strategy == 'tokens' and not driver.shared:
        raise startup.Refusal(
            f'[DEFAULT] auth_strategy = tokens lets nobody in with the storage driver "{conf.storage.driver}", which '
            'keeps no tokens. Use sqlite or mongodb.'
        )
    try:
        bootstrap.load_issuer(conf)
    except ValueError as error:
        raise startup.Refusal(startup.one_line(error)) from None


def _is_loopback(host):
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_port(conf):
    host, port = conf.server.host, conf.server.port
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise startup.Refusal(
                f'Cannot listen on {host}:{port}: {error.strerror}. Choose another with --bind.'
            ) from None


def _prepare(driver):
    """Prepare the store in a process that ends before the workers begin: nothing stays open over their fork."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = startup.NOT_READY
        try:
            driver.prepare()
            status = 0
        except storage_errors.Unavailable as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as message:
        refusal = message.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise startup.NotReady(refusal or 'The storage could not be prepared; see the lines above.')


if __name__ == '__main__':
    sys.exit(main())
