"""A store in local files whose chunks are read and written where they are asked for."""

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore


class Files(LocalStore):
    """zarr's own store hands every file to a thread and waits for it, which takes longer than a block's few bytes do.

    For who writes blocks and metadata. Readers of many chunks at once, be it over a network, are better off in threads.
    """

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """What is stored under a key; None if nothing is."""
        return self.get_sync(key, prototype=prototype, byte_range=byte_range)

    async def set(self, key: str, value: Buffer) -> None:
        """Store something under a key."""
        self.set_sync(key, value)
