"""Paths that the API gives out. They lead back through the form of URL that the request used."""

from urllib import parse


def queue(req, name: str) -> str:
    return f'{req.context.caller.base}/queues/{name}'


def subscription(req, queue_name: str, subscription_id: str) -> str:
    return f'{queue(req, queue_name)}/subscriptions/{subscription_id}'


def project(req, project_id: str) -> str:
    return f'{req.context.caller.base}/projects/{parse.quote(project_id, safe="")}'


def bucket(req, key: str) -> str:
    return f'{req.context.caller.base}/{key}'


def next_page(req, path: str, marker: str) -> str:
    """`path` with what the request asked for, and another marker.

    :param marker: safe to stand in a query string.
    """
    query = req.query_string
    if not query:
        return f'{path}?marker={marker}'
    if 'marker=' in query:
        query = '&'.join(pair for pair in query.split('&') if not pair.startswith('marker='))
    return f'{path}?{query}&marker={marker}' if query else f'{path}?marker={marker}'
