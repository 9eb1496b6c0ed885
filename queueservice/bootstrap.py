"""The one place that wires things together."""

import collections.abc
import functools
import time

import msgspec
from oslo_log import log

from queueservice import logs
from queueservice.api import app
from queueservice.api.middleware import cors, identity
from queueservice.conf import secrecy
from queueservice.delivery import base as delivery_base
from queueservice.delivery import guard, identities, mail, webhook
from queueservice.model import captures as captures_module
from queueservice.model import deliveries as deliveries_module
from queueservice.model import limits as limits_module
from queueservice.model import networks, signatures
from queueservice.model import quotas as quotas_module
from queueservice.model import schedules as schedules_module
from queueservice.services import (
    attempts,
    captures,
    claims,
    confirmations,
    copies,
    dead_letters,
    deliveries,
    enrolments,
    evidence,
    failures,
    figures,
    files,
    health,
    housekeeping,
    lanes,
    links,
    message_sets,
    messages,
    notifications,
    project_rules,
    projects,
    queues,
    quotas,
    rates,
    redrive,
    replays,
    retention,
    schedules,
    sealing,
    secrets,
    sequences,
    set_messages,
    shares,
    steps,
    subscriptions,
    tokens,
    turns,
    user_messages,
)
from queueservice.services import collections as collections_service
from queueservice.storage import base, loader
from queueservice.worker import loop

_SHORT_SECRET = (
    f'[signed_url] secret_key holds a secret of fewer than {signatures.MIN_SECRET} bytes: it can be guessed. Make one '
    'with "openssl rand -hex 32".'
)


#: How many identity stores a process keeps connections to.
_IDENTITY_STORES = 64


class Settings(msgspec.Struct, frozen=True):
    """What the operator has said about the services, as values."""

    limits: limits_module.Limits = limits_module.Limits()
    keys: tuple[sealing.Key, ...] = ()  # the first encrypts, all open
    signing_secrets: tuple[bytes, ...] = ()  # the first signs, all verify; none: the store's own
    delivery: deliveries_module.Rules = deliveries_module.Rules()
    user_message_ttl: int = user_messages.DEFAULT_TTL  # s
    capture: captures_module.Rules = captures_module.Rules()
    staged: sequences.Rules = sequences.Rules()

    def __repr__(self):
        return 'Settings(...)'  # there are secrets in it


class Services(msgspec.Struct, frozen=True):
    """Everything the service can do, for the entrances to it."""

    driver: base.Driver
    limits: limits_module.Limits
    delivery: deliveries_module.Rules
    queues: queues.Queues
    messages: messages.Messages
    claims: claims.Claims
    deliveries: deliveries.Deliveries
    subscriptions: subscriptions.Subscriptions
    lanes: lanes.Lanes
    notifications: notifications.Notifications
    redrive: redrive.Redrive
    turns: turns.Turns
    projects: projects.Projects
    tokens: tokens.Tokens
    project_rules: project_rules.ProjectRules
    quotas: quotas.Quotas
    rates: rates.Rates
    shares: shares.Shares
    links: links.Links
    confirmations: confirmations.Confirmations
    user_messages: user_messages.UserMessages
    captures: captures.Captures
    evidence: evidence.Evidence
    collections: collections_service.Collections
    replays: replays.Replays
    schedules: schedules.Schedules
    message_sets: message_sets.MessageSets
    set_messages: set_messages.SetMessages
    files: files.Files
    enrolments: enrolments.Enrolments
    failures: failures.Failures
    figures: figures.Figures
    steps: steps.Steps
    health: health.Health
    housekeeping: housekeeping.Housekeeping


def read_settings(conf) -> Settings:
    """What the configuration says about the services.

    :raises ValueError: with a sentence for the operator that shows no secret.
    """
    return Settings(
        limits=read_limits(conf),
        keys=read_keys(conf),
        signing_secrets=read_signing_secrets(conf),
        delivery=read_delivery(conf),
        user_message_ttl=conf.user_messages.ttl,
        capture=read_captures(conf),
        staged=read_staged(conf),
    )


def read_limits(conf) -> limits_module.Limits:
    """The configured bounds, as values."""
    names = limits_module.Limits.__struct_fields__
    values = {name: getattr(conf.transport, name) for name in names if name in conf.transport}
    of_projects = quotas_module.Quotas(**{name: getattr(conf.limits, name) for name in quotas_module.NAMES})
    return limits_module.Limits(**values, enable_checksum=conf.enable_checksum, project=of_projects)


def read_delivery(conf) -> deliveries_module.Rules:
    """What the operator has said about delivery, as values.

    :raises ValueError: an entry of allowed_networks is no network; says which.
    """
    groups = (conf.delivery, conf.notification, conf.transport)
    values = {
        name: next(group[name] for group in groups if name in group)
        for name in deliveries_module.Rules.__struct_fields__
    }
    if values['require_confirmation'] is None:
        values['require_confirmation'] = conf.auth_strategy != identity.NOAUTH
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        networks.read(values['allowed_networks'])
    except ValueError as error:
        raise ValueError(f'[delivery] allowed_networks: {error}') from None
    return deliveries_module.Rules(**values)


def read_captures(conf) -> captures_module.Rules:
    """What the operator has said about captures, as values."""
    return captures_module.Rules(**{name: conf.capture[name] for name in captures_module.Rules.__struct_fields__})


def read_staged(conf) -> sequences.Rules:
    """What the operator has said about staged messaging, as values.

    :raises ValueError: there is no such time zone.
    """
    try:
        schedules_module.read_zone(conf.staged.timezone)
    except ValueError as error:
        raise ValueError(f'[staged] timezone: {error}') from None
    return sequences.Rules(**{name: conf.staged[name] for name in sequences.Rules.__struct_fields__})


def read_keys(conf) -> tuple[sealing.Key, ...]:
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
    return tuple(keys)


def read_signing_secrets(conf) -> tuple[bytes, ...]:
    """What pre-signed URLs are signed with, as configured.

    :raises ValueError: one can be guessed, and guessing it would open what is otherwise closed.
    """
    found = tuple(secret.encode() for secret in conf.signed_url.secret_key or ())
    if conf.auth_strategy != identity.NOAUTH and any(map(_is_short, found)):
        raise ValueError(_SHORT_SECRET)
    return found


def read_cors(conf) -> cors.Rules | None:
    """Which pages of other sites may use the API; None: none of them.

    :raises ValueError: with a sentence for the operator.
    """
    if not conf.cors.allowed_origin:
        return None
    values = {name: conf.cors[name] for name in cors.Rules.__struct_fields__}
    rules = cors.Rules(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    rules.check()
    return rules


def find_risks(conf) -> list[str]:
    """Sentences for the operator about what works but is not safe.

    :raises ValueError: what is not safe enough to start.
    """
    risks = secrecy.find_exposed(conf)
    if any(map(_is_short, read_signing_secrets(conf))):
        risks.append(_SHORT_SECRET)
    return risks


def setup_logging(conf) -> None:
    """Let log lines be as `logs` says, unless the operator configures Python's logging with a file of its own."""
    if not (conf.log_file or conf.log_dir or conf.use_journal or conf.use_syslog):
        conf.set_default('use_stderr', True)  # the standard output belongs to what commands answer
    log.setup(conf, 'queueservice')
    if not conf.log_config_append:
        logs.setup(conf.use_json)


def load_driver(conf) -> base.Driver:
    return loader.load_driver(conf.storage.driver, conf)


def load_services(conf, driver: base.Driver) -> Services:
    """The services as they are configured.

    :raises ValueError: with a sentence for the operator.
    """
    return build_services(driver, read_settings(conf))


def build_services(
    driver: base.Driver,
    settings: Settings | None = None,
    *,
    clock: collections.abc.Callable[[], float] = time.time,
    senders: delivery_base.Senders | None = None,
) -> Services:
    """The services on one store.

    :param senders: what delivers, by the scheme of the subscriber, instead of what this service has.
    """
    settings = settings or Settings()
    limits, delivery, staged = settings.limits, settings.delivery, settings.staged
    signing = secrets.Signing(secrets.Secrets(driver, clock), settings.signing_secrets)
    seals = sealing.Sealing(settings.keys, limits.enable_checksum)
    all_quotas = quotas.Quotas(driver, limits.project, clock)
    all_queues = queues.Queues(driver, limits, all_quotas, clock, can_encrypt=bool(settings.keys))
    webhooks = webhook.Webhook(delivery)
    all_senders = {'http': webhooks, 'https': webhooks, 'mailto': mail.Mail(delivery), **(senders or {})}
    all_lanes = lanes.Lanes(driver, all_queues, all_senders)
    all_notifications = notifications.Notifications(driver, all_queues, all_lanes)
    all_senders.setdefault('queue', copies.Copies(all_queues, all_notifications, all_quotas, limits, seals))
    all_retention = retention.Retention(driver, settings.capture.retention, clock)
    all_captures = captures.Captures(driver, all_retention, settings.capture, clock)
    all_user_messages = user_messages.UserMessages(driver, limits, settings.user_message_ttl, clock)
    all_evidence = evidence.Evidence(all_captures, all_user_messages)
    all_dead_letters = dead_letters.DeadLetters(driver, all_queues, seals, all_notifications, clock)
    all_messages = messages.Messages(
        driver, all_queues, all_dead_letters, all_quotas, limits, seals, all_notifications, clock
    )
    all_deliveries = deliveries.Deliveries(driver, all_queues, all_lanes, limits, delivery, clock)
    all_sequences = sequences.Sequences(driver, clock)
    all_rules = project_rules.ProjectRules(driver, staged, delivery, clock)
    gatekeeper = guard.Guard(delivery)  # one for all identity stores: its threads never end
    all_schedules = schedules.Schedules(driver, all_sequences, all_queues, all_rules, clock)
    all_figures = figures.Figures(all_sequences, all_messages, staged.metrics_queue, clock)
    all_subscriptions = subscriptions.Subscriptions(
        driver, all_queues, all_quotas, all_lanes, all_deliveries, limits, delivery, clock
    )
    all_links = links.Links(all_subscriptions, signing, clock)
    all_confirmations = confirmations.Confirmations(driver, all_links, delivery)
    all_attempts = attempts.Attempts(all_confirmations, all_senders, delivery, clock)
    return Services(
        driver=driver,
        limits=limits,
        delivery=delivery,
        queues=all_queues,
        messages=all_messages,
        claims=claims.Claims(driver, all_queues, all_dead_letters, all_quotas, limits, seals, clock),
        deliveries=all_deliveries,
        subscriptions=all_subscriptions,
        lanes=all_lanes,
        notifications=all_notifications,
        redrive=redrive.Redrive(driver, all_queues, all_notifications, seals, limits, clock),
        turns=turns.Turns(
            driver,
            all_queues,
            all_subscriptions,
            all_lanes,
            all_attempts,
            all_deliveries,
            all_evidence,
            seals,
            delivery,
            clock,
        ),
        projects=projects.Projects(driver, limits, all_quotas, clock),
        tokens=tokens.Tokens(driver, all_rules, clock),
        project_rules=all_rules,
        quotas=all_quotas,
        rates=rates.Rates(driver, all_quotas, clock),
        shares=shares.Shares(signing, clock),
        links=all_links,
        user_messages=all_user_messages,
        captures=all_captures,
        evidence=all_evidence,
        collections=collections_service.Collections(driver, all_captures, all_retention, clock),
        confirmations=all_confirmations,
        replays=replays.Replays(driver, all_captures, all_subscriptions, all_senders, clock),
        schedules=all_schedules,
        message_sets=message_sets.MessageSets(all_sequences, clock),
        set_messages=set_messages.SetMessages(all_sequences, clock),
        files=files.Files(driver, all_sequences, staged.max_file_size, clock),
        enrolments=enrolments.Enrolments(driver, all_sequences, all_queues, all_figures, clock),
        failures=failures.Failures(driver, all_sequences, all_queues, clock),
        figures=all_figures,
        steps=steps.Steps(
            driver,
            all_sequences,
            all_queues,
            all_messages,
            all_schedules,
            all_figures,
            all_user_messages,
            all_captures,
            all_rules,
            functools.lru_cache(_IDENTITY_STORES)(lambda url: identities.Identities(url, delivery, gatekeeper)),
            delivery.public_url,
            clock,
        ),
        health=health.Health(driver, all_queues, clock),
        housekeeping=housekeeping.Housekeeping(
            driver, all_subscriptions, clock, chores=(all_queues.refresh, all_retention.sweep)
        ),
    )


def build_worker(services: Services) -> loop.Worker:
    """What delivers, not started yet."""
    return loop.Worker(
        services.notifications,
        services.lanes,
        services.turns,
        services.steps,
        services.evidence,
        services.delivery,
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
        origins=read_cors(conf),
    )
    application = app.build_app(services, settings, conf, load_issuer(conf))
    begin_request = getattr(services.driver, 'begin_request', None)
    if begin_request is None:
        return application

    def answer(environ, start_response):
        begin_request()
        return application(environ, start_response)

    return answer


def _is_short(secret):
    return len(secret) < signatures.MIN_SECRET
