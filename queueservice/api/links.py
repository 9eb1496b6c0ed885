"""Paths that the API gives out. They lead back through the form of URL that the request used."""

from urllib import parse


def queue(req, name: str) -> str:
    return f'{req.context.base}/queues/{name}'


def project(req, project_id: str) -> str:
    return f'{req.context.base}/projects/{parse.quote(project_id, safe="")}'


def next_page(req, path: str, known: tuple[str, ...], marker: str) -> str:
    """`path` with the request's own parameters and another marker.

    :param known: the parameters to repeat, in the order in which they are written.
    """
    pairs = []
    for name in known:
        value = marker if name == 'marker' else req.params.get(name)
        if value:
            pairs.extend((name, one) for one in (value if isinstance(value, list) else [value]))
    return f'{path}?{parse.urlencode(pairs)}'
