"""Large digits made of block characters, legible from across a room."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGE_ROWS", "SMALL_ROWS", "big_number"]

SMALL_ROWS = 3
LARGE_ROWS = 6
_GLYPHS = {
    "0": ".##. #..# #..# #..# #..# .##.",
    "1": "..#. .##. ..#. ..#. ..#. .###",
    "2": ".##. #..# ...# ..#. .#.. ####",
    "3": "###. ...# .##. ...# ...# ###.",
    "4": "#..# #..# #..# #### ...# ...#",
    "5": "#### #... ###. ...# ...# ###.",
    "6": ".##. #... ###. #..# #..# .##.",
    "7": "#### ...# ..#. ..#. .#.. .#..",
    "8": ".##. #..# .##. #..# #..# .##.",
    "9": ".##. #..# .### ...# ...# .##.",
    "-": ".... .... ###. .... .... ....",
    " ": ".... .... .... .... .... ....",
}
_HALVES = np.array([[" ", "▄"], ["▀", "█"]])  # [upper, lower]


def big_number(text: str, *, large: bool) -> NDArray[np.str_]:
    """Block characters of digits, `-` and spaces, as a (rows, cells) array.

    A large digit has 6 rows of 8 cells, a small one 3 rows of 4; both have square pixels.
    """
    columns: list[NDArray[np.bool_]] = []
    for at, char in enumerate(text):
        if at:
            columns.append(np.zeros((6, 1), dtype=bool))
        columns.append(np.array([[pixel == "#" for pixel in row] for row in _GLYPHS[char].split()]))
    pixels = np.hstack(columns)
    if large:
        return np.where(np.repeat(pixels, 2, axis=1), "█", " ")
    halves: NDArray[np.str_] = _HALVES[pixels[0::2].astype(int), pixels[1::2].astype(int)]
    return halves
