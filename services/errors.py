"""Every error that lorekeeper raises on purpose.

    LorekeeperError
    ├── InvalidInput            the caller's value breaks a rule; carries the path of the field
    ├── JobNotFound             no such job for this caller
    ├── AssetNotFound           no such asset for this caller
    ├── WorldNotFound           no such world for this caller
    ├── Unauthenticated         no token, or one that is not valid
    ├── Forbidden               the caller may not do this
    ├── IllegalTransition       this edge does not leave the job's status
    ├── IdempotencyConflict     the idempotency key was used with other inputs
    ├── LeaseLost               a later claim raised the fencing token
    ├── LeaseHeld               the lease has not run out
    ├── NotDue                  the job's time has not come
    ├── QueueNotFound           no such queue
    ├── PurgeForbidden          this installation does not allow to purge
    ├── TooManyConnections      the caller has as many connections as it may
    ├── TooManyMutations        the caller changes more in a while than it may
    ├── ConfigurationError      a setting that cannot work
    ├── Unavailable             a service does not answer; may pass
    │   ├── DatabaseUnavailable
    │   ├── QueueUnavailable
    │   ├── EventsUnavailable
    │   ├── StorageUnavailable
    │   └── KeysUnavailable
    └── GenerationError         a provider could not make the asset
        ├── PassingError        another attempt may succeed
        └── PermanentError      no attempt will succeed

`retryable` says by class whether the same call may succeed later; nobody parses messages.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar


class LorekeeperError(Exception):
    """Base of every error here."""

    retryable: ClassVar[bool] = False


class InvalidInput(LorekeeperError):
    """A value from outside that breaks a rule.

    Args:
        path: names and indexes that lead to the value, outermost first.
        reason: what the rule is, as a sentence part that follows the path.
    """

    def __init__(self, path: Sequence[str | int], reason: str) -> None:
        self.path = tuple(path)
        self.reason = reason
        super().__init__(f"{'.'.join(map(str, self.path))}: {reason}")


class JobNotFound(LorekeeperError):
    """There is no such job for this caller."""


class AssetNotFound(LorekeeperError):
    """There is no such asset for this caller."""


class WorldNotFound(LorekeeperError):
    """There is no such world for this caller."""


class Unauthenticated(LorekeeperError):
    """The caller shows no token, or one that is not valid."""


class Forbidden(LorekeeperError):
    """The caller may not do this."""


class IllegalTransition(LorekeeperError):
    """The edge does not leave the job's status."""


class IdempotencyConflict(LorekeeperError):
    """The idempotency key was used before in this world, with other inputs."""


class LeaseLost(LorekeeperError):
    """A later claim raised the fencing token: whatever the caller does for this run is void."""


class LeaseHeld(LorekeeperError):
    """Another run holds the job and its lease has not run out."""


class NotDue(LorekeeperError):
    """The job may not run yet."""


class QueueNotFound(LorekeeperError):
    """There is no such queue."""


class PurgeForbidden(LorekeeperError):
    """This installation does not allow to throw messages away."""


class TooManyConnections(LorekeeperError):
    """The caller has as many connections as it may."""


class TooManyMutations(LorekeeperError):
    """The caller changes more in a while than it may.

    Args:
        message: what it may.
        retry_after: when it may again.
    """

    retryable = True

    def __init__(self, message: str, retry_after: timedelta = timedelta()) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class ConfigurationError(LorekeeperError):
    """A setting cannot work; the message names it."""


class Unavailable(LorekeeperError):
    """A service does not answer or answers with an error that may pass."""

    retryable = True


class DatabaseUnavailable(Unavailable):
    """PostgreSQL cannot be reached in time."""


class QueueUnavailable(Unavailable):
    """SQS cannot be reached in time, or refuses for now."""


class EventsUnavailable(Unavailable):
    """Redis cannot be reached in time."""


class StorageUnavailable(Unavailable):
    """The asset storage cannot be reached in time."""


class KeysUnavailable(Unavailable):
    """The keys that tokens are verified with cannot be fetched."""


class GenerationError(LorekeeperError):
    """A provider could not make the asset.

    Args:
        code: stable, upper case, stored on the job and shown to clients.
        message: for a person; holds no secret and no address of ours.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class PassingError(GenerationError):
    """Another attempt may succeed.

    Args:
        code: as of any `GenerationError`.
        message: likewise.
        retry_after: how long whoever refused asks to be left alone.
    """

    retryable = True

    def __init__(self, code: str, message: str, retry_after: timedelta = timedelta()) -> None:
        self.retry_after = retry_after
        super().__init__(code, message)


class PermanentError(GenerationError):
    """No further attempt can succeed."""
