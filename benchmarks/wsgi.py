"""Call a WSGI application in process, as cheaply as can be."""

import io

from falcon import testing

HEADERS = {
    'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c',
    'X-Project-Id': 'benchmark',
    'Accept': 'application/json',
    'Content-Type': 'application/json',
}


class Request:
    """One request that can be sent again and again."""

    def __init__(self, method: str, path: str, body: bytes = b''):
        self.method = method
        self.target = path
        self.body = body
        path, _, query = path.partition('?')
        self._environ = testing.create_environ(
            path=path, query_string=query, method=method, headers=HEADERS, body=body.decode()
        )

    def send(self, app) -> tuple[str, bytes]:
        """(status, body) of the answer."""
        environ = self._environ.copy()
        environ['wsgi.input'] = io.BytesIO(self.body)
        answer = []
        chunks = app(environ, lambda status, headers, exc_info=None: answer.append(status))
        return answer[0], b''.join(chunks)
