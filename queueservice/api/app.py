"""The WSGI application, put together."""

import falcon
import msgspec

from queueservice.api import dialects, errors, homes, openapi, routes
from queueservice.api.middleware import context, cors, identity, policy, rates, signed
from queueservice.api.resources import base, home
from queueservice.api.resources import openapi as openapi_resource


class Settings(msgspec.Struct, frozen=True):
    """What the API is told beside the services: option names, as values."""

    auth_strategy: str = identity.NOAUTH
    admin_mode: bool = False
    versions: tuple[str, ...] = routes.ORDER
    any_client_id: tuple[int, int] | None = None  # (shortest, longest) where a Client-ID need not be a UUID
    origins: cors.Rules | None = None  # None: browsers let no page of another site use the API


def build_app(
    services, settings: Settings | None = None, policy_conf=None, issuer: identity.TokenIssuer | None = None
) -> falcon.App:
    """The application that answers for `services` (`bootstrap.Services`).

    :param issuer: who makes tokens beside this service, where the strategy asks for somebody.
    :param policy_conf: an oslo.config object with the options of oslo.policy; None: the rules as they stand.
    :raises ValueError: a resource has a method that no policy rule guards.
    """
    settings = settings or Settings()
    read_client_id = context.read_any(*settings.any_client_id) if settings.any_client_id else context.read_uuid
    read_signature = signed.SignatureReader(services).read
    authentication = identity.Authentication(settings.auth_strategy, services, issuer, read_signature)
    app = falcon.App(
        # In the order in which a request meets them.
        middleware=[
            context.ContextMiddleware(authentication, settings.admin_mode, read_client_id),
            *([cors.CorsMiddleware(settings.origins)] if settings.origins else []),
            rates.RatesMiddleware(services),
            policy.PolicyMiddleware(policy_conf),
        ]
    )
    app.req_options.strip_url_path_trailing_slash = False
    errors.register(app)
    versions = [version for version in routes.ORDER if version in settings.versions or version == '2']
    app.add_route('/', home.Versions(versions))
    app.add_route(openapi.PATH, openapi_resource.Document(services, tuple(versions), settings))
    for route in routes.PUBLIC_ROUTES:
        app.add_route(route.path, route.resource(services))
    for path in (home.VolumeVersion.PATH, f'{home.VolumeVersion.PATH}/'):
        app.add_route(path, home.VolumeVersion())
    for version in versions:
        document = homes.DOCUMENTS[version] | (homes.ADMIN if settings.admin_mode and version != '1' else {})
        dialect = dialects.VERSIONS[version]
        _add(app, f'{dialect.path}/', home.Home(services, dialect, document))
    for name in (*versions, *routes.FAMILIES):
        dialect = dialects.APIS[name]
        for route in routes.served(name, settings.admin_mode):
            resource = route.resource(services, dialect)
            path = dialect.path + route.template
            _add(app, path, resource)
            if dialect.any_slash:
                _add(app, path.removesuffix('/') if path.endswith('/') else f'{path}/', resource)
    return app


def _add(app, path, resource):
    policy.check_guarded(resource, public=isinstance(resource, base.PublicResource))
    app.add_route(path, resource)
