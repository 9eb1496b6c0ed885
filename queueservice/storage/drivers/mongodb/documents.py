"""What a message looks like in MongoDB. Times are instants in seconds (UTC), as everywhere."""

from queueservice.model import messages

#: Where a message would be, had its writer not been given up: the position is taken for good (`available`).
DEAD = -1


def life_of(queue) -> bytes:
    """The queue's id as its messages carry it."""
    return bytes.fromhex(queue.id)


def place(life: bytes, position: int) -> bytes:
    """The `_id` of the message at `position`. That no two documents share one is what fences off a late writer."""
    return life + position.to_bytes(8, 'big')


def places(life: bytes, positions) -> list[bytes]:
    return [life + position.to_bytes(8, 'big') for position in positions]


def write(life: bytes, position: int, draft: messages.Draft, now: float) -> dict:
    document = {
        '_id': life + position.to_bytes(8, 'big'),
        'queue': life,
        'position': position,
        'available': draft.available_at if draft.available_at > now else 0,
        'expires': draft.expires_at,
        'created': now,
        'claims': draft.claim_count,
        'size': len(draft.body),
        'body': draft.body,
    }
    if draft.client:
        document['client'] = draft.client
    if draft.checksum is not None:
        document['checksum'] = draft.checksum
    if draft.state:
        document['state'] = draft.state
    return document


def write_dead(life: bytes, position: int, expires_at: float) -> dict:
    return {
        '_id': life + position.to_bytes(8, 'big'),
        'queue': life,
        'position': position,
        'available': DEAD,
        'expires': expires_at,
        'size': 0,
    }


def read(document: dict, now: float) -> messages.Message:
    """The message as it stands at `now`: a claim that ended and a delay that is over are not there any more."""
    available_at = document['available']
    waits = available_at > now
    claim_id = document.get('claim') if waits else None
    return messages.Message(
        position=document['position'],
        body=document['body'],
        client=document.get('client', b''),
        created_at=document['created'],
        expires_at=document['expires'],
        available_at=available_at if waits else 0,
        claim_id=claim_id,
        claim_ttl=document['claim_ttl'] if claim_id else 0,
        claim_count=document['claims'],
        checksum=document.get('checksum'),
        state=document.get('state', b''),
    )
