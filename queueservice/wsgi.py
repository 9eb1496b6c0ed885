"""The application for any WSGI server: queueservice.wsgi:application.

Configured by the files that oslo.config finds (~/.queueservice, /etc/queueservice) and by environment
variables. Servers that import it once and fork afterwards are safe: the storage is opened by whoever
uses it first, and again after a fork.
"""

import atexit
import logging
import os

from queueservice import bootstrap
from queueservice.conf import opts

_LOG = logging.getLogger(__name__)


def build_application():
    conf = opts.load()
    bootstrap.setup_logging(conf)
    for risk in bootstrap.find_risks(conf):
        _LOG.warning('%s', risk)
    driver = bootstrap.load_driver(conf)
    services = bootstrap.load_services(conf, driver)
    driver.prepare()
    atexit.register(driver.close)
    services.housekeeping.start()
    os.register_at_fork(after_in_child=services.housekeeping.start)
    if conf.server.worker and not driver.shared:
        bootstrap.build_worker(services).start()  # elsewhere it is queueservice-worker that delivers
    return bootstrap.build_application(conf, services)


application = build_application()
