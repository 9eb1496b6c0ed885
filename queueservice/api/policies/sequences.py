"""Staged messaging: any user of a project may do everything, but for making tokens."""

from queueservice.api.policies.base import ADMIN, MEMBER, READER, rule


def _crud(noun, one, many, path, field):
    all_, item = f'/api/v1/{path}/', f'/api/v1/{path}/{{{field}}}/'
    return [
        rule(f'{noun}:get_all', READER, f'List {many}.', ('GET', all_)),
        rule(f'{noun}:create', MEMBER, f'Make {one}.', ('POST', all_)),
        rule(f'{noun}:get', READER, f'Read {one}.', ('GET', item)),
        rule(f'{noun}:update', MEMBER, f'Change {one}.', ('PUT', item), ('PATCH', item)),
        rule(f'{noun}:delete', MEMBER, f'Delete {one}.', ('DELETE', item)),
    ]


_SCHEDULE = '/api/v1/schedule/{schedule_id}'
_SET = '/api/v1/messageset/{messageset_id}'
_SUBSCRIPTION = '/api/v1/subscriptions/{enrolment_id}'

RULES = [
    *_crud('schedules', 'a schedule', 'schedules', 'schedule', 'schedule_id'),
    rule('schedules:preview', READER, 'Ask when a schedule runs next.', ('GET', f'{_SCHEDULE}/next/')),
    rule('schedules:send', MEMBER, 'Let a schedule run now.', ('POST', f'{_SCHEDULE}/send/')),
    *_crud('message_sets', 'a message set', 'message sets', 'messageset', 'messageset_id'),
    rule('message_sets:get_messages', READER, 'Read a message set with its messages.', ('GET', f'{_SET}/messages')),
    rule(
        'message_sets:get_languages',
        READER,
        'Read in which languages message sets have messages.',
        ('GET', '/api/v1/messageset_languages/'),
    ),
    *_crud('set_messages', 'a message of a set', 'messages of sets', 'message', 'setmessage_id'),
    rule(
        'set_messages:get_content',
        READER,
        'Read a message of a set with its file.',
        ('GET', '/api/v1/message/{setmessage_id}/content'),
    ),
    *_crud('files', 'a file', 'files', 'binarycontent', 'file_id'),
    *_crud('enrolments', 'a staged subscription', 'staged subscriptions', 'subscriptions', 'enrolment_id'),
    rule('enrolments:request', MEMBER, 'Ask for a staged subscription.', ('POST', '/api/v1/subscriptions/request')),
    rule('enrolments:send', MEMBER, 'Let the next message be sent.', ('POST', f'{_SUBSCRIPTION}/send')),
    rule('enrolments:resend', MEMBER, 'Let the last message be sent again.', ('POST', f'{_SUBSCRIPTION}/resend')),
    rule('failures:get_all', READER, 'List what could not be sent.', ('GET', '/api/v1/failed-tasks/')),
    rule('failures:retry', MEMBER, 'Send again what could not be sent.', ('POST', '/api/v1/failed-tasks/')),
    rule('failures:get', READER, 'Read what could not be sent.', ('GET', '/api/v1/failed-tasks/{failure_id}/')),
    rule('user_tokens:create', ADMIN, 'Make a member token of the own project.', ('POST', '/api/v1/user/token/')),
    rule('figures:get', READER, 'List the metrics of staged messaging.', ('GET', '/api/metrics/')),
    rule('figures:fire', MEMBER, 'Count and post the metrics of staged messaging.', ('POST', '/api/metrics/')),
    rule('figures:get_health', READER, 'Ask whether staged messaging works.', ('GET', '/api/health/')),
]
