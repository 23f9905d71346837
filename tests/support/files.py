"""Ways to corrupt the bytes of a file."""


def flip_bit(data: bytes, position: int) -> bytes:
    """``data`` with one bit of the byte at ``position`` flipped."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def truncate(data: bytes) -> bytes:
    """The first half of ``data``."""
    return data[: len(data) // 2]
