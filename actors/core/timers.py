"""How long builder and queue actors wait for what: dispatch-rules §6 and §8, every number a named setting.

Seconds, all of them.  `actors.settings` may replace each; `actors.core.builder.core` and `actors.queue.actor` act on them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timers:
    """Deadlines and intervals, in seconds."""

    connect: float = 10.0  #: TCP connection, greeting and probe together
    first_retry: float = 1.0  #: before the second connection attempt
    second_retry: float = 3.0  #: before the third, the last one before the builder is not ok
    background_retry: float = 5.0  #: before the next attempt after that; doubles
    background_retry_limit: float = 600.0  #: doubles no further than this
    reconnect: float = 5.0  #: a broken connection is resumed without blame for so long
    hold: float = 5.0  #: an order that does not fit *yet* (no session, trust not heard of) is kept for so long
    heartbeat: float = 5.0  #: silence of our own before a `Heartbeat` is sent
    suspect: float = 15.0  #: silence of the slave before it is asked for its `Status`
    lost: float = 45.0  #: silence of the slave before the connection counts as broken
    poll_building: float = 5.0  #: between two looks at a launchpad-buildd slave that is busy
    poll_idle: float = 15.0  #: between two looks at one that is idle
    resend: float = 2.0  #: a message the queue actor has not acknowledged is sent again
    ready_again: float = 60.0  #: an idle builder says so again: a safety net, nothing waits for it
    accepted: float = 30.0  #: for the answer to `Build`
    transfer: float = 60.0  #: no progress of a push, a fetch or the log's end
    abort_polite: float = 10.0  #: then `Abort` is sent again
    abort_forced: float = 60.0  #: after that, then it is fenced
    clean: float = 120.0  #: for the slave to be IDLE again
    librarian_retry: float = 10.0  #: after the master's own disk refused something
    hung: float = 15.0  #: an actor's process that gives no sign of life for so long is killed and started again
    webhook_answer: float = 10.0  #: the webhook's receiver takes what it is told within this
    webhook_retry: float = 5.0  #: before it is told again; doubles
    webhook_retry_limit: float = 600.0  #: doubles no further than this
    # the queue actor's own
    batch: float = 0.002  #: what arrives within this time shares one commit
    reports_batch: float = 0.05  #: the same for reports that nobody waits for
    database_retry: float = 0.2  #: before the database is tried again; doubles
    database_retry_limit: float = 5.0  #: doubles no further than this
    sweep: float = 60.0  #: between two readings of everything: a safety net, nothing waits for it
    deadlines: float = 10.0  #: between two looks for attempts whose deadline nobody kept
    dependency_sweep: float = 300.0  #: between two looks at all builds that wait for dependencies
    dependency_doubt: float = 300.0  #: until what a build missed though it was there counts again; quadruples
    dependency_doubt_limit: float = 86400.0  #: grows no further than this
    deadline_grace: float = 45.0  #: for the builder's actor to act on a deadline itself
