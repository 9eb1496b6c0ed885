"""Who can read the secrets of a configuration."""

import os
import stat
import urllib.parse

from oslo_config import cfg

from queueservice.conf import opts

#: Secrets that others than this service register.
_OTHERS = (('keystone_authtoken', 'password'), ('keystone_authtoken', 'memcache_secret_key'))


def find_exposed(conf: cfg.ConfigOpts) -> list[str]:
    """A sentence for each file that says a secret and that every user of this machine can read."""
    secrets: dict[str, list[str]] = {}
    for group, name in _list_secrets():
        try:
            value = (conf if group is None else conf[group])[name]
            location = conf.get_location(name, group)
        except (cfg.NoSuchOptError, cfg.NoSuchGroupError):  # nobody asked for it
            continue
        if location is not None and location.location == cfg.Locations.user and _is_secret(name, value):
            secrets.setdefault(location.detail, []).append(f'[{group or "DEFAULT"}] {name}')
    return [
        f'Every user of this machine can read {path}, which holds {", ".join(names)}. Set its mode to 0600, or to 0640 '
        'and its group to that of the service.'
        for path, names in secrets.items()
        if _is_readable_by_all(path)
    ]


def _list_secrets():
    for group, options in opts.list_opts():
        for option in options:
            if option.secret:
                yield group and group.name, option.dest
    yield from _OTHERS


def _is_secret(name, value):
    # The address of a store is one only if there is a password in it.
    return bool(value) and (name != 'uri' or urllib.parse.urlsplit(value).password is not None)


def _is_readable_by_all(path):
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False
