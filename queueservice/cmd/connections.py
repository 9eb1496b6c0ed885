"""How gunicorn's threads meet connections: a client that says nothing takes none of them."""

import functools
import selectors
import socket
import struct
import time

from gunicorn.http import errors
from gunicorn.workers import gthread

#: Seconds that a thread waits for the next bytes of a request that has begun, or for a client to take its answer.
_STALL = 10
#: Bytes of a body that is refused which are read away for the sake of the connection, and the seconds for that.
_READ_AWAY = 1024 * 1024
_READING_AWAY = 5


class ThreadWorker(gthread.ThreadWorker):
    """gunicorn's worker with threads, where a new connection too waits for its first byte without a thread.

    gunicorn itself lets only a connection that has had an answer wait so, and gives every new one a thread for
    up to 5 seconds: a few hundred that never send a byte would keep everybody else out. One that stays silent is
    closed after `keepalive` seconds. And gunicorn waits for ever for the rest of a request: a client that has
    gone without a word would keep its thread.
    """

    def enqueue_req(self, conn):
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        # By the kernel, because gunicorn makes the socket a blocking one before it reads.
        stall = struct.pack('ll', _STALL, 0)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, stall)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, stall)
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, functools.partial(self.on_pending_socket_readable, conn))

    def handle_request(self, req, conn):
        if not super().handle_request(req, conn):
            return False
        try:
            # A proxy hands on the whole of a body that it has, whatever the answer. gunicorn would read 64 KiB of it
            # and close the connection, and the proxy would take that for a fault of the server.
            return conn.parser.finish_body(time.monotonic() + _READING_AWAY, _READ_AWAY)
        except (errors.ParseException, OSError):
            return False  # the answer is out: to say what is wrong with the rest would be a second one
