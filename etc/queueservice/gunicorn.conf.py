"""Settings for those who run gunicorn themselves:

    gunicorn --config gunicorn.conf.py queueservice.wsgi:application

The command queueservice-server needs none of this. What is not said here, such as the storage, comes from
/etc/queueservice/queueservice.conf and from the environment.
"""

import multiprocessing

bind = '127.0.0.1:8888'

# The memory driver works in one process only: set workers to 1 for it.
workers = min(multiprocessing.cpu_count(), 8)

# Threads wait for the disk together and share its commits. With "gthread" in its place, connections that never
# send a byte would keep everybody else out.
worker_class = 'queueservice.cmd.connections.ThreadWorker'
threads = 8

# Seconds that a silent connection stays open; it takes no thread. nginx.conf lets go of its own sooner.
keepalive = 5

# Seconds that requests in progress get to finish when the server is told to stop.
graceful_timeout = 30

# A control socket would be shared by every gunicorn of this user.
control_socket_disable = True

# What a client says of its own address and scheme means nothing here, and X_Project_Id is not X-Project-Id.
forwarded_allow_ips = ''
forwarder_headers = ''
header_map = 'drop'

# Bytes of the first line of a request, its headers, and bytes of each of them.
limit_request_line = 8000
limit_request_fields = 64
limit_request_field_size = 8190
