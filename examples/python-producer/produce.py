#!/usr/bin/env python3
"""Submits tasks to a Go worker and reads the typed results.

Needs redis and msgpack (Debian: python3-redis python3-msgpack). The format is
described in docs/wire.md.
"""
import os
import time
import uuid

import msgpack
import redis

QUEUE = "python"
ROOT = "cenote:{%s}:" % QUEUE  # partition 0; every key of it begins so
VERSION = b"\x01"
STATES = {5: "succeeded", 6: "dead", 7: "cancelled", 8: "expired"}

# Stores the task, makes it wait, and rings for one worker if there is any. A task
# that is sent again with its id, because the reply was lost, is stored once.
SUBMIT = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[1])
if redis.call('ZCARD', KEYS[3]) > redis.call('LLEN', KEYS[4]) then
  redis.call('RPUSH', KEYS[4], '')
end
return 1
"""


def new_id(partition=0):
    """6 bytes of milliseconds, 2 of partition, 8 random ones."""
    ms = int(time.time() * 1000)
    return ms.to_bytes(6, "big") + partition.to_bytes(2, "big") + os.urandom(8)


def submit(r, type_, argument, reply_to, retries=0):
    """Submits one task and returns its id."""
    id_ = new_id()
    message = VERSION + msgpack.packb([type_, msgpack.packb(argument), reply_to, retries])
    keys = [ROOT + k for k in ("tasks", "ready:1", "alive", "bell")]
    r.eval(SUBMIT, len(keys), *keys, id_, message)
    return id_


def outcomes(r, reply_to):
    """Yields [id, state, attempt, value, codec, error] as outcomes arrive."""
    log, last = ROOT + "reply:" + reply_to, "0"
    while True:
        for _, entries in r.xread({log: last}, block=1000) or []:
            for last, fields in entries:
                # Outcomes stand one behind the other: 1, [...], 1, [...]. The
                # version byte is a msgpack integer of its own.
                unpacker = msgpack.Unpacker(max_buffer_size=len(fields[b"o"]))
                unpacker.feed(fields[b"o"])
                for version, outcome in zip(unpacker, unpacker):
                    if version != 1:
                        raise ValueError("version %r of the wire format is not known" % version)
                    yield (outcome + [None] * 6)[:6]


def main():
    r = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379"))
    me = uuid.uuid4().hex  # the address that outcomes are sent to
    waiting = {}
    for name, argument in [
        ("three numbers", {"numbers": [1, 2, 6]}),
        ("no numbers", {"numbers": []}),
        ("not a list", {"numbers": "abc"}),
    ]:
        waiting[submit(r, "numbers.stats", argument, me)] = name

    results = {}
    for id_, state, attempt, value, _codec, error in outcomes(r, me):
        name = waiting.pop(id_, None)
        if name is None:
            continue  # an outcome may come twice
        if error is None:
            stats = msgpack.unpackb(value)
            results[name] = "count=%(count)d sum=%(sum)d mean=%(mean).1f" % stats
        else:
            kind, code, text = error[:3]
            results[name] = "%s at attempt %d kind=%r code=%r: %s" % (STATES[state], attempt, kind, code, text)
        if not waiting:
            break
    for name in sorted(results):
        print("%s: %s" % (name, results[name]))
    r.delete(ROOT + "reply:" + me)


if __name__ == "__main__":
    main()
