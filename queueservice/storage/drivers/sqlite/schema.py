"""What stands in the file: the tables, and the checks that make a file ours.

Record tables are generated from `storage.tables`. The others belong to the message store:

* `heads` - one row a life of a queue's messages: where the next message goes, how many there are. It stands apart
  from `queues` because every post rewrites it, and metadata may be large. A head whose `queue_id` is NULL is over
  (cleared, or the queue is deleted): nobody finds its messages any more, and the sweep frees them.
* `spare_lives` - the numbers of heads that were freed, for the next heads.
* `messages` - `id` is `life` + position: a life owns POSITIONS ids, and its number is where they begin. So a message is
  found by its rowid, on a way through pages that hold nothing but numbers. `available_at` is 0 for a free message,
  else the end of its claim or of its delay. One that has passed has lapsed: readers take the message as free, and the
  next sweep or claim makes it so.
* `bodies` - long bodies of messages. A claim writes the rows of its messages anew, and has no use for their bodies.
* `keys` - what keyed appends remember. A key that is `over` is past its time and kept because its message is still
  there; that is looked at again at `until`.
* `usages` - the counters of the heads summed up by project.

Triggers keep `heads` in step with `queues`, and `usages` with `heads`, so that no statement can forget it.
"""

# ruff: noqa: S608 - statements are put together of what stands in this module

import sqlite3

from queueservice.storage import records, tables

#: Marks a file as ours in its header: "queu".
APPLICATION_ID = 0x71756575
#: Rises when a file can no longer be used by an older release. Additions alone do not raise it.
VERSION = 2
#: How many positions a life has. There is room for 2**62 / POSITIONS lives at a time, two million.
POSITIONS = 2**41
#: SQL for the number of the next life.
NEW_LIFE = f"""coalesce(
    (SELECT min(life) FROM spare_lives), (SELECT coalesce(max(life), 0) + {POSITIONS} FROM heads)
)"""

_TYPES = {bool: 'INTEGER', int: 'INTEGER', float: 'REAL', str: 'TEXT', bytes: 'BLOB', list: 'TEXT'}

_STATEMENTS = (
    f"""
    CREATE TABLE IF NOT EXISTS heads (
        life INTEGER PRIMARY KEY,
        queue_id TEXT UNIQUE,
        revision INTEGER NOT NULL,
        namespace TEXT,
        project TEXT,
        position INTEGER NOT NULL DEFAULT 0, -- of the last message
        messages INTEGER NOT NULL DEFAULT 0,
        claimed INTEGER NOT NULL DEFAULT 0,
        delayed INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        due_at REAL, -- until then no message expires and no claim or delay ends
        CONSTRAINT no_room_for_another_queue CHECK (life < {2**62}),
        CONSTRAINT no_room_in_this_queue CHECK (position < {POSITIONS})
    )
    """,
    'CREATE TABLE IF NOT EXISTS spare_lives (life INTEGER PRIMARY KEY)',
    'CREATE INDEX IF NOT EXISTS heads_due ON heads (due_at) WHERE due_at IS NOT NULL',
    """
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY,
        life INTEGER NOT NULL,
        available_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        created_at REAL NOT NULL,
        claim_id TEXT,
        claim_ttl INTEGER NOT NULL DEFAULT 0,
        claim_count INTEGER NOT NULL,
        client BLOB NOT NULL,
        checksum TEXT,
        state BLOB NOT NULL,
        size INTEGER NOT NULL, -- of the body, in bytes
        body BLOB -- NULL: it is long and stands in `bodies`
    )
    """,
    'CREATE INDEX IF NOT EXISTS messages_free ON messages (life, available_at, id, expires_at, claim_count)',
    'CREATE INDEX IF NOT EXISTS messages_expiry ON messages (life, expires_at)',
    'CREATE INDEX IF NOT EXISTS messages_claim ON messages (claim_id) WHERE claim_id IS NOT NULL',
    """
    CREATE TABLE IF NOT EXISTS bodies (
        id INTEGER PRIMARY KEY,
        body BLOB NOT NULL
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS keys (
        queue_id TEXT NOT NULL,
        key TEXT NOT NULL,
        position INTEGER NOT NULL,
        digest BLOB NOT NULL,
        until REAL NOT NULL,
        over INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (queue_id, key)
    ) WITHOUT ROWID
    """,
    'CREATE INDEX IF NOT EXISTS keys_until ON keys (until)',
    """
    CREATE TABLE IF NOT EXISTS usages (
        namespace TEXT NOT NULL,
        project TEXT NOT NULL,
        queues INTEGER NOT NULL DEFAULT 0,
        messages INTEGER NOT NULL DEFAULT 0,
        claimed INTEGER NOT NULL DEFAULT 0,
        delayed INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (namespace, project)
    ) WITHOUT ROWID
    """,
    """
    CREATE TRIGGER IF NOT EXISTS head_begins AFTER INSERT ON heads BEGIN
        DELETE FROM spare_lives WHERE life = new.life;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS head_ends AFTER DELETE ON heads BEGIN
        INSERT INTO spare_lives VALUES (old.life);
    END
    """,
    f"""
    CREATE TRIGGER IF NOT EXISTS queue_begins AFTER INSERT ON queues BEGIN
        INSERT INTO heads (life, queue_id, revision, namespace, project)
            VALUES ({NEW_LIFE}, new.id, new.revision, new.namespace, new.project);
        INSERT INTO usages (namespace, project, queues) VALUES (new.namespace, new.project, 1)
            ON CONFLICT DO UPDATE SET queues = queues + 1;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS queue_changes AFTER UPDATE OF revision ON queues BEGIN
        UPDATE heads SET revision = new.revision WHERE queue_id = new.id;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS queue_ends AFTER DELETE ON queues BEGIN
        UPDATE heads SET queue_id = NULL, due_at = NULL, messages = 0, claimed = 0, delayed = 0, bytes = 0
            WHERE queue_id = old.id;
        UPDATE usages SET queues = queues - 1 WHERE namespace = old.namespace AND project = old.project;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS head_counts AFTER UPDATE OF messages, claimed, delayed, bytes ON heads BEGIN
        UPDATE usages SET
            messages = messages + new.messages - old.messages,
            claimed = claimed + new.claimed - old.claimed,
            delayed = delayed + new.delayed - old.delayed,
            bytes = bytes + new.bytes - old.bytes
            WHERE namespace = new.namespace AND project = new.project;
    END
    """,
)


class Unusable(sqlite3.Error):
    """The file is not one that this release can use."""


def prepare(connection: sqlite3.Connection) -> None:
    """Bring the file that `connection` has open to the present schema, whether new, older or present.

    :raises Unusable: it is somebody else's, or of a later release.
    """
    if _pragma(connection, 'schema_version') == 0:  # it is empty
        connection.execute('PRAGMA page_size = 4096')
    elif _pragma(connection, 'application_id') != APPLICATION_ID:
        raise Unusable('the file holds something else than queues. Name another one in [storage] uri.')
    version = _pragma(connection, 'user_version')
    if version > VERSION:
        raise Unusable(
            f'the file is of a later release (schema {version}; this one knows {VERSION}). '
            'Run that release, or restore an older copy of the file.'
        )
    if 0 < version < VERSION:
        raise Unusable(f'the file is of a version before the first release (schema {version}). Name another one.')
    if _pragma(connection, 'journal_mode = WAL') != 'wal':
        raise Unusable('the file system does not allow a write-ahead log. Move the file to a local disk.')
    connection.execute('BEGIN IMMEDIATE')
    connection.execute(f'PRAGMA application_id = {APPLICATION_ID}')
    connection.execute(f'PRAGMA user_version = {VERSION}')
    for table in tables.ALL:
        _prepare_table(connection, table)
    for statement in _STATEMENTS:
        connection.execute(statement)
    if 'over' not in _columns(connection, 'keys'):  # a file from before there was one
        connection.execute('ALTER TABLE keys ADD COLUMN over INTEGER NOT NULL DEFAULT 0')
    connection.execute('COMMIT')


def check(connection: sqlite3.Connection) -> None:
    """Read the whole file.

    :raises Unusable: it is damaged.
    """
    found = _pragma(connection, 'integrity_check(1)')
    if found != 'ok':
        raise Unusable(f'the file is damaged ({found}). Restore it from a copy.')


def touch(connection: sqlite3.Connection) -> None:
    """Write what is there already: the smallest of all writes, which changes nothing."""
    connection.execute(f'PRAGMA application_id = {APPLICATION_ID}')


def _prepare_table(connection, table: records.Table) -> None:
    types = {field: _TYPES[kind] for field, kind in table.fields.items()} | {'revision': 'INTEGER NOT NULL'}
    present = _columns(connection, table.name)
    if not present:
        declared = ', '.join(f'"{field}" {kind}' for field, kind in types.items())
        connection.execute(f'CREATE TABLE "{table.name}" ({declared}, PRIMARY KEY ({_list(table.key)}))')
    else:
        for field in types:
            if field not in present:
                connection.execute(f'ALTER TABLE "{table.name}" ADD COLUMN "{field}" {types[field]}')
    for fields in table.unique:
        _prepare_index(connection, 'UNIQUE INDEX', table, fields, fields)
    expiry = [(table.expires,)] if table.expires else []
    for fields in (*table.indexes, *expiry):
        # Every order is completed by the key.
        _prepare_index(connection, 'INDEX', table, fields, dict.fromkeys((*fields, *table.key)))


def _prepare_index(connection, kind, table, fields, columns):
    name = '_'.join((table.name, *fields))
    connection.execute(f'CREATE {kind} IF NOT EXISTS "{name}" ON "{table.name}" ({_list(columns)})')


def _list(fields) -> str:
    return ', '.join(f'"{field}"' for field in fields)


def _columns(connection, table) -> set[str]:
    return {row[1] for row in connection.execute(f'PRAGMA table_info("{table}")').fetchall()}


def _pragma(connection, name):
    return connection.execute(f'PRAGMA {name}').fetchone()[0]
