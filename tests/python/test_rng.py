import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eigenflow import _rng
from reference.philox import philox4x32

WORDS = st.integers(0, 2**32 - 1)

# Published with the generator (Random123, kat_vectors): counter, key, output.
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_reference_gives_the_published_words(counter, key, output):
    assert philox4x32(counter, key) == output


@given(key=st.integers(0, 2**64 - 1), row=st.integers(0, 2**62), block=st.integers(0, 2**60 - 2))
def test_words_are_the_reference_at_their_own_counter(key, row, block):
    words = _rng.random_words(key, (1, 8), first_row=row, first_col=4 * block)[0]
    for i in range(2):
        low = block + i
        counter = (low & 0xFFFFFFFF, low >> 32, row & 0xFFFFFFFF, row >> 32)
        expected = philox4x32(counter, (key & 0xFFFFFFFF, key >> 32))
        assert tuple(words[4 * i : 4 * i + 4]) == expected


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_any_block_on_any_number_of_workers_has_the_same_words(workers):
    whole = _rng.random_words(5, (300, 1001), workers=1)
    np.testing.assert_array_equal(_rng.random_words(5, (300, 1001), workers=workers), whole)
    part = _rng.random_words(5, (20, 33), first_row=17, first_col=6, workers=workers)
    np.testing.assert_array_equal(part, whole[17:37, 6:39])


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 1)])
def test_empty_and_single_blocks(shape):
    assert _rng.random_words(1, shape).shape == shape


def test_equal_seeds_give_equal_keys_and_generators_advance():
    assert _rng.key_from(7) == _rng.key_from(np.random.default_rng(7))
    generator = np.random.default_rng(7)
    assert _rng.key_from(generator) != _rng.key_from(generator)
    assert _rng.key_from(None) != _rng.key_from(None)


@pytest.mark.parametrize("rng", ["seed", 1.5, -1])
def test_what_is_no_seed_is_refused_by_name(rng):
    with pytest.raises((TypeError, ValueError), match=r"^rng: "):
        _rng.key_from(rng)
