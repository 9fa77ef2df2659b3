#!/usr/bin/env python3
"""Uses ouzel-liburing from Python, with nothing but ctypes.

    ring.py [path of liburing-ffi.so.2]

A no-op, a read, a timeout, and the turns of an event loop on a pipe. The FFI library is the one to load: it has the
functions that C programs get from the header.
"""

import ctypes
import errno
import os
import select
import sys
import tempfile
import threading
import time

library = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "liburing-ffi.so.2")

POINTER = ctypes.c_void_p
Entry = POINTER


class Ring(ctypes.Structure):
    """`struct io_uring`: nobody but the library looks inside."""
    _fields_ = [("words", ctypes.c_uint64 * 27)]


class Completion(ctypes.Structure):
    """`struct io_uring_cqe`."""
    _fields_ = [("user_data", ctypes.c_uint64), ("res", ctypes.c_int32), ("flags", ctypes.c_uint32)]

    MORE = 1 << 1


class Timespec(ctypes.Structure):
    """`struct __kernel_timespec`."""
    _fields_ = [("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64)]


def declare(name, result, *arguments):
    """Tells ctypes about a function."""
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


number, size, word = ctypes.c_uint, ctypes.c_size_t, ctypes.c_uint64
ring_pointer = ctypes.POINTER(Ring)
completion_pointer = ctypes.POINTER(ctypes.POINTER(Completion))
queue_init = declare("io_uring_queue_init", ctypes.c_int, number, ring_pointer, number)
queue_exit = declare("io_uring_queue_exit", None, ring_pointer)
get_sqe = declare("io_uring_get_sqe", Entry, ring_pointer)
set_data = declare("io_uring_sqe_set_data64", None, Entry, word)
submit = declare("io_uring_submit", ctypes.c_int, ring_pointer)
wait_cqe_timeout = declare("io_uring_wait_cqe_timeout", ctypes.c_int, ring_pointer, completion_pointer,
                           ctypes.POINTER(Timespec))
cqe_seen = declare("io_uring_cqe_seen", None, ring_pointer, ctypes.POINTER(Completion))
prep_nop = declare("io_uring_prep_nop", None, Entry)
prep_read = declare("io_uring_prep_read", None, Entry, ctypes.c_int, POINTER, number, word)
prep_timeout = declare("io_uring_prep_timeout", None, Entry, ctypes.POINTER(Timespec), number, number)
prep_poll_multishot = declare("io_uring_prep_poll_multishot", None, Entry, ctypes.c_int, number)
prep_cancel = declare("io_uring_prep_cancel64", None, Entry, word, ctypes.c_int)
version = (declare("io_uring_major_version", ctypes.c_int)(), declare("io_uring_minor_version", ctypes.c_int)())

ring = Ring()


def check(outcome, what):
    """Raises what a function returned as a negated errno."""
    if outcome < 0:
        raise OSError(-outcome, f"{what}: {os.strerror(-outcome)}")
    return outcome


def start(user_data, prepare, *arguments):
    """Prepares an entry and submits it."""
    entry = get_sqe(ring)
    assert entry, "the queue is full"
    prepare(entry, *arguments)
    set_data(entry, user_data)
    assert check(submit(ring), "submit") == 1


def finish(limit=5.0):
    """Waits for a completion, and returns its user data, result and flags."""
    cqe = ctypes.POINTER(Completion)()
    time_limit = Timespec(int(limit), int(limit % 1 * 1e9))
    check(wait_cqe_timeout(ring, ctypes.byref(cqe), ctypes.byref(time_limit)), "wait")
    found = (cqe.contents.user_data, cqe.contents.res, cqe.contents.flags)
    cqe_seen(ring, cqe)
    return found


def no_op():
    start(7, prep_nop)
    assert finish() == (7, 0, 0)


def read_a_file():
    with tempfile.TemporaryFile() as file:
        file.write(b"read through a ring")
        file.flush()
        buffer = ctypes.create_string_buffer(64)
        start(8, prep_read, file.fileno(), ctypes.addressof(buffer), 64, 5)
        user_data, count, _ = finish()
        assert (user_data, buffer.raw[:count]) == (8, b"through a ring")


def timeout():
    began = time.monotonic()
    start(9, prep_timeout, ctypes.byref(Timespec(0, 30_000_000)), 0, 0)
    user_data, result, _ = finish()
    assert (user_data, result) == (9, -errno.ETIME) and time.monotonic() - began >= 0.03


def event_loop():
    """Turns of an event loop: one poll that stays, and a handler that is called for each message."""
    reader, writer = os.pipe()
    start(10, prep_poll_multishot, reader, select.POLLIN)
    received = []

    def other_side():
        for message in [b"one", b"two"]:
            time.sleep(0.02)
            os.write(writer, message)

    thread = threading.Thread(target=other_side)
    thread.start()
    handlers = {10: lambda: received.append(os.read(reader, 100))}
    while len(received) < 2:
        user_data, result, flags = finish()
        assert result & select.POLLIN and flags & Completion.MORE
        handlers[user_data]()
    thread.join()
    assert received == [b"one", b"two"]
    start(11, prep_cancel, 10, 0)
    ends = {finish()[:2] for _ in range(2)}
    assert ends == {(10, -errno.ECANCELED), (11, 0)}, ends
    os.close(reader)
    os.close(writer)


assert version == (2, 15), version
outcome = queue_init(8, ring, 0)
if outcome in [-errno.ENOSYS, -errno.EPERM, -errno.EACCES]:
    print(f"SKIPPED: io_uring is refused here: {os.strerror(-outcome)}")
    sys.exit(0)
check(outcome, "queue_init")
for turn in [no_op, read_a_file, timeout, event_loop]:
    turn()
    print(f"{turn.__name__.replace('_', ' ')}: well")
queue_exit(ring)
