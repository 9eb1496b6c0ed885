"""What stands in the database: the indexes of the collections, and which release they are for.

Collections need not be made. A record table is generated from `storage.tables`: its unique sets are unique indexes,
which leave out records with a None in the set and so serve no search; therefore each set is also an index like others.
"""

import contextlib

import pymongo
from pymongo import errors as pymongo_errors

from queueservice.storage import errors, tables
from queueservice.storage.drivers.mongodb import records

#: Rises when a database can no longer be used by an older release. Additions alone do not raise it.
VERSION = 1
#: The collection of the one document that says which version a database has.
SCHEMA = 'schema'

#: What an index of these types holds, as MongoDB names it.
_TYPES = {bool: 'bool', int: 'number', float: 'number', str: 'string', bytes: 'binData', list: 'array'}
#: MongoDB's error codes 85 IndexOptionsConflict and 86 IndexKeySpecsConflict.
_CONFLICTS = (85, 86)

_MESSAGES = (
    # What is at a position; and the shard key.
    pymongo.IndexModel([('queue', 1), ('position', 1)]),
    # What is free, in order; what is claimed or delayed, and until when.
    pymongo.IndexModel([('queue', 1), ('available', 1), ('position', 1)]),
    pymongo.IndexModel([('claim', 1)], sparse=True),
    pymongo.IndexModel([('queue', 1), ('expires', 1)]),
)
_GRAVES = (pymongo.IndexModel([('due', 1)]),)
_HEADS = (
    # Whose messages are to be swept.
    pymongo.IndexModel([('head.expires', 1)]),
    pymongo.IndexModel([('head.unswept', 1)], sparse=True),
)
_KEYS = (
    pymongo.IndexModel([('until', 1)]),
    pymongo.IndexModel([('queue', 1)]),
    pymongo.IndexModel([('reservation', 1)], sparse=True),
)


def indexes() -> dict[str, list[pymongo.IndexModel]]:
    """All indexes, by collection."""
    declared = {table.name: _indexes(table) for table in tables.ALL}
    declared[tables.QUEUES.name] += _HEADS
    return {'messages': [*_MESSAGES], 'keys': [*_KEYS], 'graves': [*_GRAVES]} | declared


def _indexes(table):
    models = []
    for fields in table.unique:
        held = {field: {'$type': _TYPES[table.fields[field]]} for field in fields}
        models.append(pymongo.IndexModel(_keys(fields), unique=True, partialFilterExpression=held))
    looked_for = [*table.unique, *table.indexes]
    if len(table.key) > 1:
        looked_for.insert(0, table.key)
    if table.expires is not None:
        looked_for.append((table.expires,))
        models.append(pymongo.IndexModel([(records.EXPIRY, 1)], expireAfterSeconds=0))
    for fields in looked_for:
        # Every order is completed by the key.
        names = [records.stored_as(table, field) for field in (*fields, *table.key)]
        models.append(pymongo.IndexModel(_keys(dict.fromkeys(names))))
    return models


def _keys(fields):
    return [(field, 1) for field in fields]


def prepare(database) -> None:
    """Make the indexes that are missing.

    :raises Unavailable: the database is of a later release, or has other indexes under their names.
    """
    version = read_version(database)
    if version > VERSION:
        raise errors.Unavailable(refuse(database, version))
    for name, models in indexes().items():
        try:
            database.collection(name).create_indexes(models)
        except pymongo_errors.OperationFailure as error:
            if error.code in _CONFLICTS:
                raise errors.Unavailable(
                    f'The collection "{name}" of {database.location} has an index that is in the way. Drop it, or name '
                    f'another database in [storage] uri. MongoDB says: {error.details["errmsg"]}'
                ) from error
            raise
    with contextlib.suppress(pymongo_errors.DuplicateKeyError):  # another host does so at the same moment
        database.collection(SCHEMA).update_one({'_id': 'version'}, {'$max': {'version': VERSION}}, upsert=True)


def refuse(database, version: int) -> str:
    """What to tell the operator of a version that is too high."""
    return (
        f'{database.location} is of a later release (schema {version}; this one knows {VERSION}). '
        'Run that release, or name another database in [storage] uri.'
    )


def read_version(database) -> int:
    """The version of the schema in the database; 0 if it has none."""
    found = database.collection(SCHEMA).find_one({'_id': 'version'})
    return found['version'] if found else 0


def missing(database) -> list[str]:
    """The indexes that are not there, or are others under their names, as "collection.index"."""
    absent = []
    for collection, models in indexes().items():
        present = database.collection(collection).index_information()
        for index in (model.document for model in models):
            if present.get(index['name'], {}).get('key') != [*index['key'].items()]:
                absent.append(f'{collection}.{index["name"]}')
    return absent
