import uuid

from keystoneauth1 import noauth, session
from openstack import connection


class Project(noauth.NoAuth):
    """No authentication, and the project that the requests are for."""

    def __init__(self, endpoint, project_id):
        super().__init__(endpoint)
        self._project_id = project_id

    def get_project_id(self, session):
        return self._project_id


auth = Project('http://127.0.0.1:8888/v2', 'demo')
cloud = connection.Connection(session=session.Session(auth=auth), message_api_version='2')

cloud.message.post_message('orders', [{'body': {'order': 1202}, 'ttl': 600}])

# create_claim() of openstacksdk 4.22 stumbles over the answer of any server: it takes the field "location"
# of its own for the header. A plain request does the same.
headers = {'X-Project-Id': 'demo', 'Client-ID': str(uuid.uuid4())}
answer = cloud.message.post('/queues/orders/claims', json={'ttl': 120, 'grace': 60}, headers=headers)
if answer.status_code == 201:
    claim_id = answer.headers['Location'].rpartition('/')[2]
    for message in answer.json()['messages']:
        print(message['body'])
        cloud.message.delete_message('orders', message['id'], claim=claim_id)
