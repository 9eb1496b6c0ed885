"""All options, and the one function that turns command line, files and environment into a configuration."""

import os
from importlib import metadata

from oslo_config import cfg
from oslo_log import log

from queueservice.conf import (
    capture,
    cors,
    default,
    delivery,
    encryption,
    limits,
    notification,
    server,
    signed_url,
    staged,
    storage,
    transport,
    user_messages,
)

MODULES = (
    default,
    server,
    storage,
    transport,
    encryption,
    limits,
    signed_url,
    cors,
    delivery,
    notification,
    capture,
    user_messages,
    staged,
)


def list_opts():
    """Every option of this service and of the installed storage drivers, for oslo-config-generator."""
    options = [(module.GROUP, module.OPTIONS) for module in MODULES]
    for entry in sorted(metadata.entry_points(group='queueservice.storage'), key=lambda entry: entry.name):
        list_driver_opts = getattr(__import__(entry.module, fromlist=['list_opts']), 'list_opts', list)
        options.extend(list_driver_opts())
    return options


def register(conf: cfg.ConfigOpts) -> None:
    log.register_options(conf)
    for group, options in list_opts():
        if group is not None:
            # Of one that is registered itself, all configurations of the process would share the overrides.
            conf.register_group(cfg.OptGroup(group.name, group.title, group.help))
        conf.register_opts(options, group=group)


def load(files: list[str] = (), directories: list[str] = (), **overrides) -> cfg.ConfigOpts:
    """Read the configuration: `overrides` before environment before files before defaults.

    :param overrides: values by "group.option", None for those not given.
    :raises cfg.Error, ValueError: a file cannot be read, or an option has a value that it may not have.
    """
    conf = cfg.ConfigOpts()
    register(conf)
    try:
        conf(
            args=[],
            project='queueservice',
            default_config_files=list(files) or None,
            default_config_dirs=list(directories) or None,
        )
    except OSError as error:  # a directory, for one
        raise ValueError(f'{error.filename}: {error.strerror}.') from None
    given = {name: value for name, value in overrides.items() if value is not None}
    for name, value in (_read_aliases() | given).items():
        group, _, option = name.rpartition('.')
        try:
            conf.set_override(option, value, group=group or None)
        except ValueError as error:
            raise ValueError(f'[{group or "DEFAULT"}] {option} = {value}: {error}') from None
    _touch(conf)
    return conf


def environment_name(group: str | None, option: str) -> str:
    """The environment variable of an option. Colons of a group's name are underscores there."""
    return f'OS_{(group or "DEFAULT").replace(":", "_")}__{option}'.upper()


def _read_aliases():
    """What the environment says, by "group.option", where oslo.config looks for a name that no shell can export."""
    names = {
        f'{group.name}.{option.dest}': environment_name(group.name, option.dest)
        for group, options in list_opts()
        if group is not None and ':' in group.name
        for option in options
    }
    return {option: os.environ[name] for option, name in names.items() if name in os.environ}


def _touch(conf):
    # A bad value raises at its first use: let that be now, not in the middle of a request.
    for group, options in list_opts():
        for option in options:
            value = conf if group is None else conf[group.name]
            value[option.dest]
