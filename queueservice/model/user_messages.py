"""User messages: why something failed in the end that a project had already been told would be done.

What can be said is a closed list: something was going on (an action), and something went wrong with it (a detail). No
text of a fault, a subscriber or a tenant is ever part of it.
"""

import re
import uuid

import msgspec

from queueservice.model import deliveries

#: What a user message can be about.
SUBSCRIPTION = 'SUBSCRIPTION'
ENROLMENT = 'ENROLMENT'
RESOURCE_TYPES = (SUBSCRIPTION, ENROLMENT)

ERROR = 'ERROR'
LEVELS = (ERROR,)

#: Somebody was to be sent the next message of a sequence.
STEP = 'step'

#: Action -> its number in event ids, and how it is called. Numbers stay what they are.
ACTIONS = {
    deliveries.MESSAGE: ('001', 'deliver message'),
    deliveries.CONFIRMATION: ('002', 'ask for confirmation'),
    deliveries.FAREWELL: ('003', 'say that the subscription has ended'),
    STEP: ('004', 'send the next message of a sequence'),
}
_UNKNOWN_ACTION = 'unknown action'

#: The detail of everything that has none of its own.
UNKNOWN = 'unknown'
#: Detail -> its number in event ids. Numbers stay what they are; sentences are those of `model.deliveries`.
DETAILS = {
    UNKNOWN: '001',
    'status': '002',
    'timeout': '003',
    'connection': '004',
    'tls': '005',
    'dns': '006',
    'address': '007',
    'response': '008',
    'template': '009',
    'mail': '010',
    'mail_off': '011',
    'queue': '012',
    'hops': '013',
    'encryption': '014',
    'expired': '015',
    # 016 is that something was deleted, of which nobody is told.
    'unconfirmed': '017',
    'no_address': '018',
    'quota': '019',
}
_UNKNOWN_DETAIL = 'An unknown error occurred.'

_PHRASES = dict(ACTIONS.values())
#: Those that deliveries do not have.
_OWN = {
    'no_address': 'The recipient has no address.',
    'quota': 'A limit of the project is reached.',
}
_SENTENCES = {number: (deliveries.ERRORS | _OWN).get(detail, _UNKNOWN_DETAIL) for detail, number in DETAILS.items()}

_EVENT = re.compile(r'QUEUE_[A-Z_]+_([0-9]{3})_([0-9]{3})')
_FAMILY = uuid.UUID('6c1f7e04-5d6b-4b7e-9a53-0f8d2e71c4ba')


class UserMessage(msgspec.Struct, frozen=True):
    id: str  # new_id()
    event_id: str  # event_id()
    message_level: str  # of LEVELS
    resource_type: str | None  # of RESOURCE_TYPES
    resource_uuid: str | None  # an id of such a thing, whatever its form
    request_id: str | None  # of the request that had been answered
    created_at: float  # s, UTC
    expires_at: float  # s, UTC; kept until then, if nobody deletes it

    @property
    def text(self) -> str:
        """What happened, for people: derived from `event_id`, so that it is in the words of today."""
        event = _EVENT.fullmatch(self.event_id)
        action, detail = event.groups() if event else (None, None)
        return f'{_PHRASES.get(action, _UNKNOWN_ACTION)}:{_SENTENCES.get(detail, _UNKNOWN_DETAIL)}'


def new_id(project: str, id_from: str) -> str:
    """The id of what is said in `project` under the name `id_from`: a UUID, always the same."""
    return str(uuid.uuid5(_FAMILY, f'{project}\n{id_from}'))


def event_id(action: str, detail: str | None, resource_type: str) -> str:
    """The name of what happened, for programs.

    :param detail: of DETAILS; anything else is UNKNOWN.
    :raises KeyError: there is no such action.
    """
    number, _ = ACTIONS[action]
    return f'QUEUE_{resource_type}_{number}_{DETAILS.get(detail, DETAILS[UNKNOWN])}'
