import http.server
import json

import standardwebhooks

SECRETS = ['whsec_...']  # from the answer to the subscription
seen = set()  # in earnest: a table with a unique key, written in the transaction that handles the message


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        good = any(is_signed(secret, self.headers, body) for secret in SECRETS)
        if good and self.headers['webhook-id'] not in seen:
            handle(json.loads(body))
            seen.add(self.headers['webhook-id'])
        self.send_response(204 if good else 401)
        self.send_header('Content-Length', '0')
        self.end_headers()


def is_signed(secret, headers, body):
    try:
        standardwebhooks.Webhook(secret).verify(body, headers)
    except standardwebhooks.WebhookVerificationError:
        return False
    return True


def handle(notification):
    print(notification['Message_Type'], notification.get('body'), flush=True)


http.server.ThreadingHTTPServer(('127.0.0.1', 8080), Receiver).serve_forever()
