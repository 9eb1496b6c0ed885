import base64
import hmac
import time


def verify(secret, headers, body):
    """Raise ValueError unless `body` was signed with `secret` in the last five minutes."""
    key = base64.b64decode(secret.removeprefix('whsec_'))
    signed = f'{headers["webhook-id"]}.{headers["webhook-timestamp"]}.'.encode() + body
    wanted = b'v1,' + base64.b64encode(hmac.digest(key, signed, 'sha256'))
    if not any(hmac.compare_digest(wanted, given.encode()) for given in headers['webhook-signature'].split()):
        raise ValueError('This was signed by somebody else.')
    if abs(time.time() - int(headers['webhook-timestamp'])) > 300:
        raise ValueError('This was signed long ago.')
