"""What can go wrong in a store. No text here ever carries an item's contents: they are personal data.

StorageError
├── ConditionFailed       another writer was first, or the record is not as expected; a normal answer, not a fault
│   └── SlotTaken         the doctor has another appointment at that time
├── InvalidRequest        our own bug: an item, key or definition that no driver accepts
├── BadCursor             a paging cursor that was not made by this query
├── TableMissing          the table was never created
├── StorageDenied         no credentials, or not allowed
└── StorageUnavailable    away, locked, full, too slow or throttled; trying again later may help
    └── StorageThrottled  the service asks for fewer requests
"""


class StorageError(Exception):
    """Base of everything that a store raises."""


class ConditionFailed(StorageError):
    """A condition did not hold; nothing was written.

    Args:
        failed: positions, within a transaction, of the writes whose condition did not hold; (0,) for a single write.
    """

    def __init__(self, failed: tuple[int, ...] = (0,)) -> None:
        super().__init__(f"conditions not met at {failed}")
        self.failed = failed


class SlotTaken(ConditionFailed):
    """The doctor has another appointment that overlaps."""


class InvalidRequest(StorageError):
    """An item, key or definition that no driver accepts."""


class BadCursor(StorageError):
    """A paging cursor that was not made by this query."""


class TableMissing(StorageError):
    """The table was never created."""


class StorageDenied(StorageError):
    """There are no credentials, or they do not allow the operation."""


class StorageUnavailable(StorageError):
    """The store is away, locked, full or too slow."""


class StorageThrottled(StorageUnavailable):
    """The service asks for fewer requests."""
