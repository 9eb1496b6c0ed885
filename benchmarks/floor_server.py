"""The floor behind a WSGI server: benchmarks.floor_server:application."""

from benchmarks import floor, samples
from queueservice.storage.drivers.memory import driver


def _build():
    _, _, answers = samples.build(driver.Driver())
    routes = {}
    for name in ('ping', 'list-10', 'post-1'):
        method, status, body = answers[name]
        routes.setdefault(samples.ROUTES[name], {})[method] = (status, body)
    return floor.build_app(routes)


application = _build()
