"""queueservice-manage: what an operator does beside serving, one noun after the other."""

import argparse
import importlib.metadata
import sys

from oslo_config import cfg

from queueservice import bootstrap
from queueservice.conf import opts
from queueservice.services import sealing
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
        return arguments.verb(conf, arguments)
    except (cfg.Error, loader.UnknownDriver, ValueError) as error:
        print(f'queueservice-manage: {" ".join(str(error).split())}', file=sys.stderr)
        return MISCONFIGURED


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
    except errors.Unavailable as error:
        print(f'queueservice-manage: {error}', file=sys.stderr)
        return FAILED
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


#: Each adds a subcommand whose `verb(conf, arguments)` does it and returns the exit status.
NOUNS = (add_storage, add_encryption)


if __name__ == '__main__':
    sys.exit(main())
