"""Settings for those who run gunicorn themselves:

    gunicorn --config gunicorn.conf.py queueservice.wsgi:application

The command queueservice-server needs none of this. What is not said here, such as the storage, comes from
/etc/queueservice/queueservice.conf and from the environment.
"""

import multiprocessing

bind = '127.0.0.1:8888'

# The memory driver works in one process only: set workers to 1 for it.
workers = min(multiprocessing.cpu_count(), 8)

# Threads wait for the disk together and share its commits.
worker_class = 'gthread'
threads = 8

# Seconds that requests in progress get to finish when the server is told to stop.
graceful_timeout = 30

# A control socket would be shared by every gunicorn of this user.
control_socket_disable = True
