"""The one place that wires things together."""

import collections.abc
import time

import msgspec

from queueservice.api import app
from queueservice.model import limits as limits_module
from queueservice.services import claims, dead_letters, health, housekeeping, messages, projects, queues, tokens
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
    health: health.Health
    housekeeping: housekeeping.Housekeeping


def read_limits(conf) -> limits_module.Limits:
    """The configured bounds, as values."""
    names = limits_module.Limits.__struct_fields__
    values = {name: getattr(conf.transport, name) for name in names if name in conf.transport}
    return limits_module.Limits(**values, enable_checksum=conf.enable_checksum)


def load_driver(conf) -> base.Driver:
    return loader.load_driver(conf.storage.driver, conf)


def build_services(
    driver: base.Driver,
    limits: limits_module.Limits | None = None,
    clock: collections.abc.Callable[[], float] = time.time,
) -> Services:
    limits = limits or limits_module.Limits()
    all_queues = queues.Queues(driver, limits, clock)
    all_dead_letters = dead_letters.DeadLetters(driver, all_queues, clock)
    return Services(
        driver=driver,
        limits=limits,
        queues=all_queues,
        messages=messages.Messages(driver, all_queues, all_dead_letters, limits, clock),
        claims=claims.Claims(driver, all_queues, all_dead_letters, limits, clock),
        projects=projects.Projects(driver, limits, clock),
        tokens=tokens.Tokens(driver, clock),
        health=health.Health(driver, all_queues, clock),
        housekeeping=housekeeping.Housekeeping(driver, clock),
    )


def build_application(conf, services: Services):
    """The WSGI application for the configured versions and limits."""
    transport = conf.transport
    any_client_id = None
    if transport.client_id_uuid_safe == 'off':
        any_client_id = (transport.min_length_client_id, transport.max_length_client_id)
    settings = app.Settings(
        admin_mode=conf.admin_mode,
        versions=(*conf.enable_deprecated_api_versions, '2'),
        any_client_id=any_client_id,
    )
    return app.build_app(services, settings, conf)
