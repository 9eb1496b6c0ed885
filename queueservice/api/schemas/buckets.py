"""The documents that buckets and their messages come and go in: the envelope, and what is in it."""

import typing

import msgspec

from queueservice.model import captures, har

Unset = msgspec.UNSET


def _text(most, least=0):
    return typing.Annotated[str, msgspec.Meta(extra_json_schema={'minLength': least, 'maxLength': most})]


Name = _text(captures.MOST_NAME, 1)
Encoding = typing.Literal['plaintext', 'base64']

_INSTANT = msgspec.Meta(extra_json_schema={'minimum': 0, 'maximum': 253402300799})
_STATUS = msgspec.Meta(extra_json_schema={'minimum': 100, 'maximum': 599})

#: Headers, parameters and fields of forms: name -> values. Clients may write a single value without a list, and
#: those that were generated write the whole of it as JSON in a text.
Values = dict[str, str | list[str]]
ValuesIn = Values | str


# What clients send


class BucketFields(msgspec.Struct):
    """What a bucket is made of. The team is the project."""

    name: Name | msgspec.UnsetType = Unset  # it may stand in the query instead
    team_id: str | None = None
    team_uuid: str | None = None


BucketIn = typing.Annotated[BucketFields, msgspec.Meta(extra_json_schema={'required': ['name']})]


class RequestIn(msgspec.Struct):
    method: str
    url: typing.Annotated[str, msgspec.Meta(extra_json_schema={'pattern': '^[Hh][Tt][Tt][Pp][Ss]?://'})]
    headers: ValuesIn | None = None
    form: ValuesIn | None = None
    body: str | None = None
    body_encoding: Encoding | None = None
    timestamp: typing.Annotated[float, _INSTANT] | None = None  # s, UTC


class ResponseIn(msgspec.Struct):
    status: typing.Annotated[int, _STATUS]
    reason: str | None = None
    headers: ValuesIn | None = None
    body: str | None = None
    body_encoding: Encoding | None = None
    response_time: typing.Annotated[float, msgspec.Meta(extra_json_schema={'minimum': 0})] | None = None  # s
    timestamp: typing.Annotated[float, _INSTANT] | None = None  # s, UTC


class ExchangeIn(msgspec.Struct):
    """An exchange: a request, a response, or both."""

    request: RequestIn | None = None
    response: ResponseIn | None = None
    unique_identifier: _text(captures.MOST_IDENTIFIER) | None = None


#: One message, several, or an archive of them. Each is looked at for itself, so that a bad one spoils no other.
ExchangesIn = ExchangeIn | list[ExchangeIn]


# What clients get


class EnvelopeErrorOut(msgspec.Struct):
    status: int
    message: str
    more_info: str | None = None
    error: str | None = None


class NothingOut(msgspec.Struct):
    pass


class MetaOut(msgspec.Struct, frozen=True):
    status: str = 'success'


class FailureOut(msgspec.Struct):
    """The envelope of what cannot be done."""

    data: NothingOut
    error: EnvelopeErrorOut
    meta: MetaOut


class TeamOut(msgspec.Struct):
    id: str
    name: str


class BucketOut(msgspec.Struct):
    key: str
    name: str
    team: TeamOut
    messages_url: str
    collections_url: str
    created_at: int  # s, UTC
    queue: str | None  # whose deliveries are captured in it
    auth_token: None = None
    default: bool = False
    verify_ssl: bool = True
    is_private: bool = False
    tests_url: None = None
    trigger_url: None = None


class RequestOut(msgspec.Struct):
    method: str
    url: str
    scheme: str
    host: str
    path: str
    params: dict[str, list[str]]
    headers: dict[str, list[str]]
    timestamp: float  # s, UTC
    size_bytes: int  # of the whole body
    body_truncated: bool
    headers_truncated: bool
    left_out: str | None  # why there is no body
    stripped: list[str]
    body: str | msgspec.UnsetType | None = Unset  # lists have none
    body_encoding: Encoding | msgspec.UnsetType = Unset
    form: dict[str, list[str]] | msgspec.UnsetType | None = Unset


class ResponseOut(msgspec.Struct):
    status: int
    reason: str
    response_time: float | None  # s
    headers: dict[str, list[str]]
    timestamp: float  # s, UTC
    size_bytes: int  # of the whole body; of one that was too long to be read, what was read
    body_truncated: bool
    headers_truncated: bool
    left_out: str | None  # why there is no body
    stripped: list[str]
    body: str | msgspec.UnsetType | None = Unset  # lists have none
    body_encoding: Encoding | msgspec.UnsetType = Unset


class ExchangeOut(msgspec.Struct):
    uuid: str
    bucket_key: str
    unique_identifier: str | None
    attempt: int | None
    subscription_id: str | None
    error: str | None
    request: RequestOut | None
    response: ResponseOut | None
    rank: int | float | msgspec.UnsetType = Unset  # in a collection


class ProblemOut(msgspec.Struct):
    code: int
    message: str
    more_info: str | None = None


class ResultOut(msgspec.Struct):
    """What came of one posted message."""

    status: typing.Literal['success', 'warning', 'error']
    uuid: str | None = None
    unique_identifier: str | None = None
    error: ProblemOut | None = None
    warning: ProblemOut | None = None


class ResultCountsOut(MetaOut, frozen=True):
    success_count: int = 0
    error_count: int = 0
    warning_count: int = 0


class BucketEnvelope(msgspec.Struct):
    data: BucketOut
    error: None = None
    meta: MetaOut = MetaOut()


class BucketsEnvelope(msgspec.Struct):
    data: list[BucketOut]
    error: None = None
    meta: MetaOut = MetaOut()


class ExchangeEnvelope(msgspec.Struct):
    data: ExchangeOut
    error: None = None
    meta: MetaOut = MetaOut()


class ExchangesEnvelope(msgspec.Struct):
    data: list[ExchangeOut]
    error: None = None
    meta: MetaOut = MetaOut()


class ResultsEnvelope(msgspec.Struct, kw_only=True):
    data: list[ResultOut]
    error: None = None
    meta: ResultCountsOut


Archive = har.Har
