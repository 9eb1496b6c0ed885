"""A course of three messages, sent to a webhook."""

import json
import time
import urllib.request

SERVICE = 'http://127.0.0.1:8888'
HOOK = 'http://127.0.0.1:8080/'
HEADERS = {
    'X-Project-Id': 'clinic',
    'Client-ID': '3381af92-2b9e-11e3-b191-71861300734c',
    'Content-Type': 'application/json',
}


def ask(method, path, document=None):
    body = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(SERVICE + path, body, HEADERS, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


# Whoever sends messages to telephones gets them from here.
ask('POST', '/v2/queues/outbound/subscriptions', {'subscriber': HOOK, 'ttl': 86400})

# Mondays, Wednesdays and Fridays at nine.
schedule = ask('POST', '/api/v1/schedule/', {'minute': '0', 'hour': '9', 'day_of_week': '1,3,5'})
print('runs next at', ask('GET', f'/api/v1/schedule/{schedule["id"]}/next/?count=1')['results'][0])

course = ask('POST', '/api/v1/messageset/', {'short_name': 'first-weeks', 'default_schedule': schedule['id']})
for number, text in enumerate(('Welcome!', 'How are you?', 'Goodbye.'), 1):
    message = {'messageset': course['id'], 'sequence_number': number, 'lang': 'eng_ZA', 'text_content': text}
    ask('POST', '/api/v1/message/', message)

recipient = {
    'identity': '8646b7bc-b511-4965-a90b-e1145e398703',
    'messageset': course['id'],
    'schedule': schedule['id'],
    'lang': 'eng_ZA',
    'metadata': {'to_addr': '+27820001001'},
}
enrolment = ask('POST', '/api/v1/subscriptions/', recipient)

# Nobody waits for Monday here: the schedule runs because it is told to, three times.
for _ in range(3):
    before = enrolment['updated_at']
    ask('POST', f'/api/v1/schedule/{schedule["id"]}/send/')
    while enrolment['updated_at'] == before:
        time.sleep(0.1)
        enrolment = ask('GET', f'/api/v1/subscriptions/{enrolment["id"]}/')
print('completed:', enrolment['completed'])
