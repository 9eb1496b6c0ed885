"""Which web pages of other sites a browser lets use the API: none, unless the operator names them."""

import re

import falcon
import msgspec

#: Any origin at all.
ANY = '*'

_ORIGIN = re.compile(r'https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?')


class Rules(msgspec.Struct, frozen=True):
    """Option names, as values."""

    allowed_origin: tuple[str, ...]
    allow_credentials: bool = False
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int = 3600  # s

    def check(self) -> None:
        """
        :raises ValueError: with a sentence for the operator.
        """
        for origin in self.allowed_origin:
            if origin != ANY and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f'[cors] allowed_origin = {origin}: an origin is a scheme, a host and perhaps a port, without a '
                    'path, such as https://console.example.com.'
                )
        if self.allow_credentials and ANY in self.allowed_origin:
            raise ValueError(
                '[cors] allow_credentials cannot be on while allowed_origin is "*": every page that a user opens could '
                'act in the name of that user. Name the origins.'
            )


class CorsMiddleware:
    """Answers the questions that browsers ask before a request, and marks the answers that a page may read."""

    def __init__(self, rules: Rules):
        self._origins = frozenset(rules.allowed_origin)
        self._answer = [
            ('Access-Control-Allow-Methods', ', '.join(rules.allow_methods)),
            ('Access-Control-Allow-Headers', ', '.join(rules.allow_headers)),
            ('Access-Control-Max-Age', str(rules.max_age)),
        ]
        self._marks = [('Access-Control-Expose-Headers', ', '.join(rules.expose_headers))]
        if rules.allow_credentials:
            self._marks.append(('Access-Control-Allow-Credentials', 'true'))

    def process_request(self, req, resp):
        # The question has none of the headers that requests to the API must have, and concerns nothing of a tenant's.
        if req.method == 'OPTIONS' and self._admits(req) and req.get_header('Access-Control-Request-Method'):
            resp.set_headers(self._answer)
            resp.status = falcon.HTTP_204
            resp.complete = True

    def process_response(self, req, resp, resource, req_succeeded):
        resp.append_header('Vary', 'Origin')
        if self._admits(req):
            resp.set_header('Access-Control-Allow-Origin', ANY if ANY in self._origins else req.get_header('Origin'))
            resp.set_headers(self._marks)

    def _admits(self, req):
        origin = req.get_header('Origin')
        return origin is not None and (ANY in self._origins or origin in self._origins)
