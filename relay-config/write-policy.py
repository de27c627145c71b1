#!/usr/bin/env python3
"""strfry's write policy for a gig relay: one JSON object a line in, one out.

Which kinds are kept, how far ahead they may expire, and how much one address and one author may
send. strfry has checked form, id, signature and size before. Needs Python 3.8 and nothing else.
Keeps nothing on disk: the counters begin anew when strfry starts it anew.
"""

import json
import os
import sys
import time

# What earnest publishes, and what the same people's other clients need beside it. 3923 is reserved.
PUBLIC = {0, 3, 5, 1984, 1985, 3922, 3923, 10002, 10050, 30402, 30403}
LISTING = {30402, 30403}
PRIVATE = {1059, 3920}
DAY = 86400
# The longest `expiration` that earnest writes, and a day for clocks: listings 90 + 14 days, wraps 60,
# channels 210. A listing without one would stay for good, so it must have one.
KEPT = {30402: 105 * DAY, 30403: 105 * DAY, 1059: 61 * DAY, 3920: 211 * DAY}
# Leading zero bits of a listing's id (NIP-13). earnest mines wraps only: anything over 0 shuts its
# listings out.
LISTING_POW = int(os.environ.get("EARNEST_POW", "0"))
# A busy job is a dozen events in seconds; a person has few jobs at once.
EVENTS_A_MINUTE = int(os.environ.get("EARNEST_EVENTS_A_MINUTE", "600"))
LISTINGS_A_DAY = int(os.environ.get("EARNEST_LISTINGS_A_DAY", "100"))
# Sources that strfry brings in by itself are other relays: their addresses are no one person's.
OWN = {"Import", "Stream", "Sync", "Stored"}


class Counter:
    """Events by key in windows of a fixed length; forgets a window when the next begins."""

    def __init__(self, most, seconds):
        self.most, self.seconds, self.window, self.count = most, seconds, 0, {}

    def over(self, key, now):
        window = int(now // self.seconds)
        if window != self.window:
            self.window, self.count = window, {}
        self.count[key] = self.count.get(key, 0) + 1
        return self.count[key] > self.most


ADDRESSES = Counter(EVENTS_A_MINUTE, 60)
AUTHORS = Counter(LISTINGS_A_DAY, DAY)


def bits(event_id):
    """Leading zero bits of an id in hex."""
    return 256 - int(event_id, 16).bit_length()


def expiration(event):
    """The moment in the event's first `expiration` tag; None without one or where it is no number."""
    for tag in event["tags"]:
        if len(tag) > 1 and tag[0] == "expiration":
            return int(tag[1]) if tag[1].isascii() and tag[1].isdigit() and len(tag[1]) < 16 else None
    return None


def refusal(request, now):
    """Why this event is not kept, with a prefix of NIP-01; None if it is."""
    event, source = request["event"], request.get("sourceType", "")
    kind = event["kind"]
    if kind not in PUBLIC | PRIVATE:
        return "blocked: this relay keeps gigs and what belongs to them"
    if source not in OWN and ADDRESSES.over(request.get("sourceInfo", ""), now):
        return "rate-limited: too many events in this minute"
    end = expiration(event)
    if kind in LISTING and end is None:
        return "invalid: a listing needs an expiration"
    if end is not None and end <= now:
        return "invalid: it has expired"
    if end is not None and kind in KEPT and end > max(now, event["created_at"]) + KEPT[kind]:
        return "invalid: it expires too far ahead"
    if kind in LISTING and bits(event["id"]) < LISTING_POW:
        return "pow: %d bits are needed for a listing" % LISTING_POW
    if kind in LISTING and source not in OWN and AUTHORS.over(event["pubkey"], now):
        return "rate-limited: too many listings in this day"
    return None


def main():
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("type") != "new":
            print("unexpected request: %r" % request.get("type"), file=sys.stderr, flush=True)
            continue
        why = refusal(request, time.time())
        answer = {"id": request["event"]["id"], "action": "reject" if why else "accept", "msg": why or ""}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
