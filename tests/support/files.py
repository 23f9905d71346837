"""Damage to files."""


def flipped(data: bytes, place: int) -> bytes:
    """``data`` with one bit changed at ``place``."""
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
