"""What commands that run for long have in common at their start: a configuration, a driver, reasons to refuse."""

import argparse
import importlib.metadata
import sys

from oslo_config import cfg

from queueservice import bootstrap
from queueservice.conf import opts
from queueservice.storage import base as storage_base
from queueservice.storage import loader

#: Exit status where the storage is not ready, which may pass by itself ...
NOT_READY = 1
#: ... and where a command cannot start as it is set up.
MISCONFIGURED = 2


class Refusal(Exception):
    """A reason not to start, in one line for the operator."""

    status = MISCONFIGURED


class NotReady(Refusal):
    status = NOT_READY


class Parser(argparse.ArgumentParser):
    """Knows the options that say where the configuration is."""

    def __init__(self, **options):
        super().__init__(**options)
        self.add_argument(
            '--config-file', action='append', default=[], metavar='FILE', help='read this file; repeatable'
        )
        self.add_argument(
            '--config-dir', action='append', default=[], metavar='DIR', help='read the *.conf files in it'
        )
        self.add_argument('--version', action='version', version=version())

    def error(self, message):
        print(f'{self.prog}: {message} (see {self.prog} --help)', file=sys.stderr)
        sys.exit(MISCONFIGURED)


def version() -> str:
    return importlib.metadata.version('queueservice')


def read_configuration(arguments: argparse.Namespace, **overrides) -> cfg.ConfigOpts:
    """:raises Refusal: it cannot be read, or has a value that it may not have."""
    try:
        return opts.load(arguments.config_file, arguments.config_dir, **overrides)
    except (cfg.Error, ValueError) as error:
        raise Refusal(one_line(error)) from None


def build_driver(conf: cfg.ConfigOpts) -> storage_base.Driver:
    """:raises Refusal: there is no such driver, or it cannot be as it is configured."""
    try:
        return bootstrap.load_driver(conf)
    except (loader.UnknownDriver, ValueError) as error:
        raise Refusal(str(error)) from None


def one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
