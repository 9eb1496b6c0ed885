"""What has to be right about a MongoDB before queues are trusted to it, each with what to change if it is not."""

import time

import pymongo
from bson import datetime_ms
from pymongo import errors as pymongo_errors

from queueservice.storage import base
from queueservice.storage.drivers.mongodb import schema

#: How far the clocks of the database and of this host may be apart, in seconds.
CLOCKS = 1.0


def needs(database) -> list[base.Finding]:
    """What must be right before anything is written there. Ends with the first finding that is not ok."""
    findings = []
    for finding in _look(database, (_connection, _topology, _writes)):
        findings.append(finding)
        if not finding.ok:
            break
    return findings


def everything(database) -> list[base.Finding]:
    return list(_look(database, (_connection, _topology, _writes, _schema, _clock)))


def _look(database, checks):
    try:
        with pymongo.timeout(database.patience):
            hello = database.hello()
        for check in checks:
            with pymongo.timeout(database.patience):
                finding = check(database, hello)
            yield finding
    except pymongo_errors.PyMongoError as error:
        yield base.Finding(
            'connection',
            False,
            f'{database.location} does not answer: {_shorten(error)}. Start it, or correct [storage] uri.',
        )


def _shorten(error):
    """What happened, without what the client library says of its own settings."""
    text = str(error)
    for mark in (' (configured timeouts', ', Timeout:', ', full error'):
        text = text.partition(mark)[0]
    return text.rstrip('.')


def _connection(database, hello):
    if hello['isWritablePrimary']:
        return base.Finding('connection', True, f'{database.location} takes writes.')
    return base.Finding(
        'connection',
        False,
        f'{database.location} takes no writes. Name all members of its replica set in [storage] uri.',
    )


def _topology(database, hello):
    if hello.get('msg') == 'isdbgrid':
        return base.Finding('topology', True, 'It is a sharded cluster.')
    if 'setName' in hello:
        return base.Finding('topology', True, f'It is the replica set {hello["setName"]} of {len(hello["hosts"])}.')
    return _unless_unreliable(
        database,
        'topology',
        f'{database.location} is a standalone server.',
        'Make it a replica set (of one member at least)',
    )


def _writes(database, hello):
    if not database.weakness:
        return base.Finding('writes', True, 'They wait for the journals of a majority.')
    if not database.queues.write_concern.acknowledged:
        return base.Finding('writes', False, f'[storage] uri has "{database.weakness}". Remove that from it.')
    return _unless_unreliable(
        database,
        'writes',
        f'[storage] uri has "{database.weakness}", so writes do not wait for the journals of a majority.',
        'Remove that from it',
    )


def _unless_unreliable(database, what, sentence, remedy):
    if database.unreliable:
        return base.Finding(what, True, f'{sentence} [DEFAULT] unreliable allows it.')
    return base.Finding(
        what, False, f'{sentence} {remedy}, or set [DEFAULT] unreliable = true if messages may be lost.'
    )


def _schema(database, hello):
    version = schema.read_version(database)
    if version > schema.VERSION:
        return base.Finding('schema', False, schema.refuse(database, version))
    if version < schema.VERSION:
        sentence = f'{database.location} is not prepared.'
    elif missing := schema.missing(database):
        sentence = f'Indexes are missing: {", ".join(missing)}.'
    else:
        return base.Finding('schema', True, f'It is of version {version} and has all indexes.')
    return base.Finding('schema', False, f'{sentence} Run queueservice-manage storage prepare.')


def _clock(database, hello):
    before = time.time()
    there = int(datetime_ms.DatetimeMS(database.hello()['localTime'])) / 1000
    apart = max(before - there, there - time.time(), 0)
    if apart > CLOCKS:
        return base.Finding(
            'clock', False, f'Its clock and that of this host are {apart:.1f} s apart. Set both by NTP.'
        )
    return base.Finding('clock', True, 'It agrees with that of this host.')
