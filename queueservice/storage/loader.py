"""Find the configured driver among the installed ones."""

from stevedore import driver as stevedore_driver
from stevedore import exception as stevedore_exception

from queueservice.storage import base

NAMESPACE = 'queueservice.storage'


class UnknownDriver(Exception):
    """There is no such driver."""


def load_driver(name: str, conf) -> base.Driver:
    """Build the driver called `name` from its own options in `conf`.

    :raises UnknownDriver: no entry point of that name; the message lists those there are.
    """
    try:
        manager = stevedore_driver.DriverManager(NAMESPACE, name, warn_on_missing_entrypoint=False)
    except stevedore_exception.NoMatches:
        known = ', '.join(sorted(available_drivers()))
        raise UnknownDriver(f'There is no storage driver "{name}". Set [storage] driver to one of: {known}.') from None
    return manager.driver(conf)


def available_drivers() -> set[str]:
    from importlib import metadata

    return {entry.name for entry in metadata.entry_points(group=NAMESPACE)}
