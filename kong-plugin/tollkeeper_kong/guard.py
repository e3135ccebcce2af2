"""Stand between Kong and the server: what Kong has started is killed when a worker of nginx ends.

On `kong reload` and `kong stop` that is SIGKILL (lua-nginx-module, ngx.pipe), which nobody can answer. So the process
that Kong knows only waits; the server is its child, notices within a second that it is alone, answers until the next
one listens, and puts what it has accepted on the disk.
"""

import os
import signal
import sys
import time

LOOK_SECONDS = 0.2


def stand_guard() -> int:
    """Return in a child process, with the pid of the guard; the guard ends with the child's status.

    Signals to the guard are passed on. It ends the child when its own parent is gone. Call it before there are threads.
    """
    guard, parent = os.getpid(), os.getppid()
    numbers = (signal.SIGTERM, signal.SIGINT)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started us may ignore it, and then nobody can be waited for
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # one that comes now waits until somebody takes it
    child = os.fork()
    if child:
        for number in numbers:
            signal.signal(number, lambda number, _: os.kill(child, number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    if not child:
        return guard
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            sys.stdout.flush()
            os._exit(code if code >= 0 else 128 - code)
        if os.getppid() != parent:
            os.kill(child, signal.SIGTERM)
        time.sleep(LOOK_SECONDS)
