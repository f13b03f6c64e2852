import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmf.container.crc32c import crc32c


def bit_by_bit(data: bytes) -> int:
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_check_value():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(b"") == 0


def test_rfc3720_examples():
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("size", [1, 2, 3, 15, 16, 17, 63, 64, 65, 4095, 4097, 70001])
def test_every_way_of_cutting(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == bit_by_bit(data)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_continues(one, two):
    assert crc32c(two, crc32c(one)) == crc32c(one + two) == bit_by_bit(one + two)


def test_pieces_join(monkeypatch):
    data = np.random.default_rng(0).bytes(10_000)
    whole = crc32c(data)
    monkeypatch.setattr("cmf.container.crc32c._PIECE", 777)
    assert crc32c(data) == whole
