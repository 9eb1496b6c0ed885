from zaqarclient.queues import client

conf = {'auth_opts': {'backend': 'noauth', 'options': {'os_project_id': 'demo'}}}
zaqar = client.Client('http://127.0.0.1:8888', version=2, conf=conf)

queue = zaqar.queue('orders')
queue.post([{'body': {'order': 1201}, 'ttl': 600}])

claim = queue.claim(ttl=120, grace=60)
for message in claim:
    print(message.body)
    message.delete()  # under the claim
