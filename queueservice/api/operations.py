"""What one method of a URL takes and answers, for the OpenAPI document."""

import typing

from queueservice.api import params

JSON = 'application/json'


class Operation(typing.NamedTuple):
    """Beside each method of a resource (`operations`). What holds for every route is not repeated.

    Documents are the types that `api.schemas` has for them; of several, one is sent.
    """

    answers: dict[int, typing.Any]  # status of a success -> document, or a tuple of them; None: there is none
    query: tuple = ()  # parameters, as in `params`
    headers: tuple[params.Text, ...] = ()
    takes: typing.Any = None  # the document that is sent; None: none is looked at
    required: bool = True  # whether it must be sent
    media: str = JSON  # of what is sent
    shows: str = JSON  # of what is answered
    refusals: tuple[int, ...] = ()  # statuses beside those that any route may answer
    client: bool = False  # the Client-ID is needed in every version
    name: str = ''  # what the operation is called; otherwise as its policy rule
    summary: str = ''  # what it does, in one sentence; otherwise as its policy rule says
