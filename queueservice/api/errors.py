"""What a domain error is to a client: one table, and the handlers that Falcon calls. Each API has a form of its own."""

import logging

import falcon

from queueservice.api import dialects, media
from queueservice.model import errors
from queueservice.storage import errors as storage_errors

_LOG = logging.getLogger(__name__)

#: Domain error -> status and title. The closest class in an error's ancestry counts.
ANSWERS = {
    errors.Invalid: (falcon.HTTP_400, 'Invalid API request'),
    errors.BodyInvalid: (falcon.HTTP_400, 'Invalid request body'),
    errors.ParameterInvalid: (falcon.HTTP_400, 'Invalid parameter'),
    errors.HeaderInvalid: (falcon.HTTP_400, 'Invalid header value'),
    errors.HeaderMissing: (falcon.HTTP_400, 'Missing header value'),
    errors.NameInvalid: (falcon.HTTP_400, 'Invalid queue identification'),
    errors.ClaimMismatch: (falcon.HTTP_400, 'Unable to delete'),
    errors.Forbidden: (falcon.HTTP_403, 'Forbidden'),
    errors.MessageClaimed: (falcon.HTTP_403, 'Unable to delete'),
    errors.QuotaExceeded: (falcon.HTTP_403, 'Quota exceeded'),
    errors.NotAuthorized: (falcon.HTTP_403, 'Not authorized'),
    errors.ConfirmationNeeded: (falcon.HTTP_403, 'Confirmation needed'),
    errors.NotFound: (falcon.HTTP_404, 'Not found'),
    errors.Conflict: (falcon.HTTP_409, 'Resource conflict'),
    errors.RateExceeded: (falcon.HTTP_429, 'Too many requests'),
    errors.Busy: (falcon.HTTP_503, 'Service temporarily unavailable'),
    errors.EncryptionFailed: (falcon.HTTP_503, 'Service temporarily unavailable'),
}

#: Seconds after which a client may try again that got a 503.
_RETRY_AFTER = '5'


def register(app: falcon.App) -> None:
    app.set_error_serializer(serialize)
    app.add_error_handler(Exception, handle_fault)
    app.add_error_handler(errors.ServiceError, handle_service_error)
    app.add_error_handler(storage_errors.Unavailable, handle_unavailable)


def serialize(req, resp, error) -> None:
    """Errors are JSON, whatever the request would accept: better read than hidden."""
    resp.data = media.encode(dialects.find(req.path).error(error, resp.get_header('Retry-After')))
    resp.content_type = falcon.MEDIA_JSON
    resp.append_header('Vary', 'Accept')


def handle_service_error(req, resp, error, params) -> None:
    status, title = next(ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS)
    headers = {'Retry-After': _RETRY_AFTER} if status == falcon.HTTP_503 else None
    answer = falcon.HTTPError(status, title=title, description=str(error), headers=headers)
    answer.facts = error.facts
    raise answer


def handle_unavailable(req, resp, error, params) -> None:
    _LOG.error('The storage does not answer: %s', error)
    raise falcon.HTTPError(
        falcon.HTTP_503,
        title='Service temporarily unavailable',
        description='The storage does not answer. Please try again in a few seconds.',
        headers={'Retry-After': _RETRY_AFTER},
    )


def handle_fault(req, resp, error, params) -> None:
    request_id = getattr(req.context, 'request_id', '-')
    _LOG.exception('%s %s failed', req.method, req.path)
    raise falcon.HTTPError(
        falcon.HTTP_500,
        title='Internal server error',
        description=f'The operator finds the cause in the log under {request_id}.',
    )
