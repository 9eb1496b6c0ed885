"""The floor: a Falcon application with the same routes that decodes the same bodies and answers as many bytes.

It stores nothing and checks nothing, so what the service costs beyond it is what the service does.
"""

import falcon
import msgspec


class Message(msgspec.Struct):
    body: msgspec.Raw
    ttl: int = 3600


class Post(msgspec.Struct):
    messages: list[Message]


POST = msgspec.json.Decoder(Post)
CLAIM = msgspec.json.Decoder(dict[str, int])


class Fixed:
    """Answers each method with the bytes that the service answers it with."""

    def __init__(self, answers):
        self.answers = answers  # method -> (status, bytes)

    def on_get(self, req, resp, **names):
        resp.status, resp.data = self.answers['GET']

    def on_delete(self, req, resp, **names):
        resp.status = falcon.HTTP_204

    def on_post(self, req, resp, **names):
        raw = req.env['wsgi.input'].read(int(req.env['CONTENT_LENGTH']))
        (CLAIM if b'grace' in raw else POST).decode(raw)
        resp.status, resp.data = self.answers['POST']


def build_app(answers):
    """:param answers: {route: {method: (status, bytes)}}, seen from the service."""
    app = falcon.App()
    for route, methods in answers.items():
        app.add_route(route, Fixed(methods))
    return app
