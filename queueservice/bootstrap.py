"""The one place that wires things together."""

import collections.abc
import time

import msgspec
from oslo_log import log

from queueservice import logs
from queueservice.api import app
from queueservice.api.middleware import identity
from queueservice.model import limits as limits_module
from queueservice.model import quotas as quotas_module
from queueservice.services import (
    claims,
    dead_letters,
    health,
    housekeeping,
    messages,
    projects,
    queues,
    quotas,
    rates,
    sealing,
    secrets,
    shares,
    tokens,
)
from queueservice.storage import base, loader


class Services(msgspec.Struct, frozen=True):
    """Everything the service can do, for the entrances to it."""

    driver: base.Driver
    limits: limits_module.Limits
    queues: queues.Queues
    messages: messages.Messages
    claims: claims.Claims
    projects: projects.Projects
    tokens: tokens.Tokens
    quotas: quotas.Quotas
    rates: rates.Rates
    shares: shares.Shares
    health: health.Health
    housekeeping: housekeeping.Housekeeping


def read_limits(conf) -> limits_module.Limits:
    """The configured bounds, as values."""
    names = limits_module.Limits.__struct_fields__
    values = {name: getattr(conf.transport, name) for name in names if name in conf.transport}
    of_projects = quotas_module.Quotas(**{name: getattr(conf.limits, name) for name in quotas_module.NAMES})
    return limits_module.Limits(**values, enable_checksum=conf.enable_checksum, project=of_projects)


def read_keys(conf) -> list[sealing.Key]:
    """The configured encryption keys.

    :raises ValueError: saying what is wrong without showing a key.
    """
    keys = []
    for place, text in enumerate(conf.encryption['keys'], 1):
        try:
            keys.append(sealing.read_key(text))
        except ValueError as error:
            raise ValueError(f'[encryption] keys: entry {place} cannot be used: {error}') from None
    if len({key.id for key in keys}) < len(keys):
        raise ValueError('[encryption] keys: two entries have the same id. Give every key an id of its own.')
    return keys


def read_signing_secrets(conf) -> list[bytes]:
    """What pre-signed URLs are signed with, as configured."""
    return [secret.encode() for secret in conf.signed_url.secret_key or ()]


def setup_logging(conf) -> None:
    """Let log lines be as `logs` says, unless the operator configures Python's logging with a file of its own."""
    log.setup(conf, 'queueservice')
    if not conf.log_config_append:
        logs.setup(conf.use_json)


def load_driver(conf) -> base.Driver:
    return loader.load_driver(conf.storage.driver, conf)


def build_services(
    driver: base.Driver,
    limits: limits_module.Limits | None = None,
    clock: collections.abc.Callable[[], float] = time.time,
    keys: collections.abc.Sequence[sealing.Key] = (),
    signing_secrets: collections.abc.Sequence[bytes] = (),
) -> Services:
    limits = limits or limits_module.Limits()
    seals = sealing.Sealing(keys, limits.enable_checksum)
    all_quotas = quotas.Quotas(driver, limits.project, clock)
    all_queues = queues.Queues(driver, limits, all_quotas, clock, can_encrypt=bool(keys))
    all_dead_letters = dead_letters.DeadLetters(driver, all_queues, seals, clock)
    return Services(
        driver=driver,
        limits=limits,
        queues=all_queues,
        messages=messages.Messages(driver, all_queues, all_dead_letters, all_quotas, limits, seals, clock),
        claims=claims.Claims(driver, all_queues, all_dead_letters, all_quotas, limits, seals, clock),
        projects=projects.Projects(driver, limits, all_quotas, clock),
        tokens=tokens.Tokens(driver, clock),
        quotas=all_quotas,
        rates=rates.Rates(driver, all_quotas, clock),
        shares=shares.Shares(secrets.Secrets(driver, clock), signing_secrets, clock),
        health=health.Health(driver, all_queues, clock),
        housekeeping=housekeeping.Housekeeping(driver, clock),
    )


def load_issuer(conf) -> identity.TokenIssuer | None:
    """Whoever makes tokens beside this service, under the configured strategy.

    :raises ValueError: something is missing for that; says what.
    """
    if conf.auth_strategy != identity.KEYSTONE:
        return None
    try:
        from queueservice.api.middleware import keystone  # not installed where nobody wants it
    except ModuleNotFoundError as error:
        raise ValueError(
            f'[DEFAULT] auth_strategy = keystone needs the package {error.name}: pip install queueservice[keystone].'
        ) from None
    return keystone.load(conf)


def build_application(conf, services: Services):
    """The WSGI application for the configured versions and limits.

    :raises ValueError: clients could not authenticate as it is configured; says why.
    """
    transport = conf.transport
    any_client_id = None
    if transport.client_id_uuid_safe == 'off':
        any_client_id = (transport.min_length_client_id, transport.max_length_client_id)
    settings = app.Settings(
        auth_strategy=conf.auth_strategy,
        admin_mode=conf.admin_mode,
        versions=(*conf.enable_deprecated_api_versions, '2'),
        any_client_id=any_client_id,
    )
    application = app.build_app(services, settings, conf, load_issuer(conf))
    begin_request = getattr(services.driver, 'begin_request', None)
    if begin_request is None:
        return application

    def answer(environ, start_response):
        begin_request()
        return application(environ, start_response)

    return answer
