"""The description of the API for programs."""

from queueservice.api import openapi
from queueservice.api.middleware import identity
from queueservice.api.resources import base


class Document(base.PublicResource):
    """The OpenAPI document; nobody needs a token to read it."""

    def __init__(self, services, versions: tuple[str, ...], settings):
        self._services = services
        self._versions = versions
        self._settings = settings  # app.Settings

    def on_get(self, req, resp):
        # Built by whoever asks first: few processes are ever asked.
        settings = self._settings
        resp.data = openapi.build(
            self._versions,
            settings.admin_mode,
            settings.auth_strategy != identity.NOAUTH,
            settings.any_client_id,
            self._services.limits,
        )
