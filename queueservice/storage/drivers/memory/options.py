"""Options of the memory driver: it has none."""


def build_driver(conf):
    from queueservice.storage.drivers.memory import driver

    return driver.Driver()
