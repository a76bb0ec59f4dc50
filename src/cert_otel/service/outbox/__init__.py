"""What was found goes back to where people look: the trail is the outbox.

Each destination has a cursor of its own over the trail. What a backend has taken moves it; a
backend that is down is a cursor that stands still. Sent may be twice what a kill came in between
of, never nothing: each result has an id by which copies can be told.
"""
