"""Options of the MongoDB driver: [storage] uri says everything."""

from pymongo import errors as pymongo_errors

_SHAPE = 'mongodb://HOST:PORT,.../DATABASE?replicaSet=NAME'


def build_driver(conf):
    from queueservice.storage.drivers.mongodb import driver

    uri = conf.storage.uri or ''
    if not uri.startswith('mongodb://'):
        raise ValueError(f'[storage] uri does not name a MongoDB. Write {_SHAPE}.')
    try:
        return driver.Driver(uri, unreliable=conf.unreliable)
    except (pymongo_errors.PyMongoError, ValueError):
        # What exactly is wrong may be a piece of the password.
        raise ValueError(
            f'[storage] uri cannot be read. Write {_SHAPE}; in user and password, write special characters as %XX.'
        ) from None
