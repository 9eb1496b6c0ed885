"""queueservice-manage: what an operator does beside serving, one noun after the other."""

import argparse
import contextlib
import datetime
import importlib.metadata
import os
import sys

from oslo_config import cfg

from queueservice import bootstrap
from queueservice.conf import opts
from queueservice.model import errors as model_errors
from queueservice.services import audit, project_rules, sealing, tokens
from queueservice.storage import base, errors, loader

#: Exit status where what was looked at is not as it should be, or could not be done ...
FAILED = 1
#: ... and where the command or the configuration is wrong.
MISCONFIGURED = 2


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog='queueservice-manage', description='Look after the queueing service.')
    parser.add_argument('--config-file', action='append', default=[], metavar='FILE', help='read this file; repeatable')
    parser.add_argument('--config-dir', action='append', default=[], metavar='DIR', help='read the *.conf files in it')
    parser.add_argument('--version', action='version', version=importlib.metadata.version('queueservice'))
    nouns = parser.add_subparsers(required=True, metavar='NOUN')
    for add_noun in NOUNS:
        add_noun(nouns)
    arguments = parser.parse_args(argv)
    try:
        conf = opts.load(arguments.config_file, arguments.config_dir)
        bootstrap.setup_logging(conf)
        return arguments.verb(conf, arguments)
    except (cfg.Error, loader.UnknownDriver, model_errors.Invalid, ValueError) as error:
        return _fail(error, MISCONFIGURED)
    except (errors.Unavailable, model_errors.ServiceError) as error:
        return _fail(error, FAILED)


def _fail(error, status):
    print(f'queueservice-manage: {" ".join(str(error).split())}', file=sys.stderr)
    return status


# Storage


def add_storage(nouns) -> None:
    parser = nouns.add_parser('storage', help='where messages are kept')
    verbs = parser.add_subparsers(required=True, metavar='VERB')
    check = verbs.add_parser('check', help='say whether it can be used, one line a finding; changes nothing')
    check.set_defaults(verb=check_storage)
    prepare = verbs.add_parser('prepare', help='create or upgrade it, as the server does at its start')
    prepare.set_defaults(verb=prepare_storage)


def check_storage(conf, arguments) -> int:
    driver = bootstrap.load_driver(conf)
    try:
        findings = _findings(driver)
    finally:
        driver.close()
    for finding in findings:
        print(f'{"ok    " if finding.ok else "FAILED"}  {finding.what}: {finding.sentence}')
    return 0 if all(finding.ok for finding in findings) else FAILED


def _findings(driver: base.Driver) -> list[base.Finding]:
    check = getattr(driver, 'check', None)
    if check is not None:
        return check()
    try:
        driver.ping()
    except errors.Unavailable as error:
        return [base.Finding('connection', False, str(error))]
    return [base.Finding('connection', True, f'{driver.location} takes writes.')]


def prepare_storage(conf, arguments) -> int:
    driver = bootstrap.load_driver(conf)
    try:
        driver.prepare()
    finally:
        driver.close()
    print(f'{driver.location} is prepared.')
    return 0


# Encryption


def add_encryption(nouns) -> None:
    parser = nouns.add_parser('encryption', help='encryption of messages at rest')
    verbs = parser.add_subparsers(required=True, metavar='VERB')
    key = verbs.add_parser('key', help='print a new key for [encryption] keys; it is kept nowhere else')
    key.add_argument('--id', help='call it so (1 to 32 of the characters A-Z a-z 0-9 "_" "." "-"); random if not given')
    key.set_defaults(verb=make_encryption_key)


def make_encryption_key(conf, arguments) -> int:
    line = sealing.write_key(sealing.new_key(arguments.id))
    sealing.read_key(line)  # refuses an id that cannot be
    print(line)
    return 0


# Tokens


def add_token(nouns) -> None:
    parser = nouns.add_parser('token', help='what lets clients in')
    verbs = parser.add_subparsers(required=True, metavar='VERB')
    create = verbs.add_parser('create', help='make one; it stands alone on the last line, and is shown only then')
    create.add_argument('--project', required=True, metavar='P', help='the project that it opens')
    create.add_argument(
        '--role', action='append', metavar='R', help='reader, member (if none is given), admin; repeatable'
    )
    create.add_argument('--name', default='', metavar='N', help='whose it is, for the list')
    create.add_argument('--ttl', type=int, metavar='S', help='seconds that it can be used; else until it is revoked')
    rules = create.add_argument_group('how staged messaging of the project goes on from now on, "" as for all')
    rules.add_argument('--timezone', metavar='ZONE', help='in which its schedules are read')
    rules.add_argument('--misfire', metavar='once|skip', help='what becomes of runs at which no worker was there')
    rules.add_argument('--identity-url', metavar='URL', help='where the addresses of its recipients are asked for')
    rules.add_argument(
        '--outbound-queue', metavar='NAME', help='the queue that messages to its recipients are posted to'
    )
    create.set_defaults(verb=create_token)
    show = verbs.add_parser('list', help='show which there are, one a line; not the tokens themselves')
    show.add_argument('--project', metavar='P', help='those of this project only')
    show.set_defaults(verb=list_tokens)
    revoke = verbs.add_parser('revoke', help='let one not be used any more, from ten seconds later at the latest')
    revoke.add_argument('id', metavar='ID', help='as the list shows it')
    revoke.set_defaults(verb=revoke_token)


def create_token(conf, arguments) -> int:
    given = ((name, getattr(arguments, name)) for name in project_rules.NAMES)
    rules = {name: value or None for name, value in given if value is not None}
    with _open_tokens(conf) as service:
        roles = arguments.role or ['member']
        made, token = service.create(arguments.project, roles, arguments.name, arguments.ttl, rules)
    _audit('token.create', token=made.id, of_project=made.project, of_roles=made.roles, **rules)
    until = 'until it is revoked' if made.expires_at is None else f'until {_date(made.expires_at)}'
    print(f'Token {made.id} opens project {made.project} as {", ".join(made.roles)} {until}.')
    print('Keep it in a safe place: it cannot be shown again.')
    print(token)
    return 0


def list_tokens(conf, arguments) -> int:
    with _open_tokens(conf) as service:
        for token in service.list(arguments.project):
            until = 'for ever' if token.expires_at is None else f'until {_date(token.expires_at)}'
            fields = token.id, token.project, ','.join(token.roles), _date(token.created_at), until, token.name
            print('\t'.join(fields).rstrip())
    return 0


def revoke_token(conf, arguments) -> int:
    with _open_tokens(conf) as service:
        service.revoke(arguments.id)
    _audit('token.revoke', token=arguments.id)
    print(f'Token {arguments.id} is revoked. Servers notice within {tokens.REMEMBERED:.0f} seconds.')
    return 0


@contextlib.contextmanager
def _open_tokens(conf):
    driver = bootstrap.load_driver(conf)
    try:
        if not driver.shared:
            raise ValueError(
                f'The storage driver "{conf.storage.driver}" keeps everything inside the server, where no token can be '
                'put from here. Use sqlite or mongodb.'
            )
        driver.prepare()
        yield bootstrap.load_services(conf, driver).tokens
    finally:
        driver.close()


def _audit(action, **facts):
    audit.record(action, project=None, user=f'uid {os.getuid()} of this machine', **facts)


def _date(instant):
    return datetime.datetime.fromtimestamp(instant, datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')


#: Each adds a subcommand whose `verb(conf, arguments)` does it and returns the exit status.
NOUNS = (add_storage, add_encryption, add_token)


if __name__ == '__main__':
    sys.exit(main())
