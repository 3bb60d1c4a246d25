"""The phases: filter, measure, decide, cut and compare, each over all beds and seconds that are due.

What needs no memory of a patient is computed for many seconds at once, of many beds or of one: each second is a row of
an array (`detector.rows`). What a bed decides, it decides second by second, with what it has learnt before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, TypeVar

from numpy.typing import ArrayLike

from detector.bandpass import filter_rows
from detector.beats import cut_beats
from detector.comparison import compare_beats
from detector.events import Event
from detector.fibrillation import measure_waves
from detector.mains import measure_lines
from detector.qrs import measure_steepness
from detector.qrs_shapes import compare_shapes
from detector.quality import measure_quality
from detector.rows import over_rows
from detector.seconds import NewBeat, Second

if TYPE_CHECKING:
    from detector.stream import Detector

__all__ = ["advance_together", "process"]

Item = TypeVar("Item")
Work = TypeVar("Work")
Answer = TypeVar("Answer")


class _Turn:
    """One bed in this call; its first error ends its turn."""

    __slots__ = ("detector", "error")

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.error: Exception | None = None

    def do(self, step: Callable[..., Answer], *given: object) -> Answer | None:
        """Call a function of the bed; None after an error."""
        if self.error is None:
            try:
                return step(*given)
            except Exception as error:
                self.error = error
        return None


def advance_together(pieces: Iterable[tuple[Detector, ArrayLike, int | None]]) -> list[list[Event] | Exception]:
    """Advance the detectors of many beds, in half the time of one after the other.

    Args:
        pieces: detectors, each at most once, and the arguments of `Detector.advance`.

    Returns:
        For each detector, in order, the events of `Detector.advance`, or the exception that it raised; an error in
        one bed does not affect the others.
    """
    turns = []
    for detector, samples, first_sample in pieces:
        turns.append(turn := _Turn(detector))
        turn.do(detector.put, samples, first_sample)
    _process(turns)
    return [turn.error or turn.detector.decisions.take_events() for turn in turns]


def process(detector: Detector) -> list[Event]:
    """Process the samples that one detector has taken.

    Raises:
        Exception: any error of the detector.
    """
    turn = _Turn(detector)
    _process([turn])
    if turn.error is not None:
        raise turn.error
    return detector.decisions.take_events()


def _process(turns: list[_Turn]) -> None:
    """Process the samples that wait, block by block."""
    while going := [turn for turn in turns if turn.error is None and turn.detector.blocks.has_next]:
        blocks = [(turn, block) for turn in going if (block := turn.do(turn.detector.next_block)) is not None]
        seconds = [[(turn, second) for second in block.seconds] for turn, block in blocks]
        due = list(chain.from_iterable(seconds))
        # filter
        for _, second, lines in _rows(measure_lines, due, lambda bed, second: bed.hum_work(second)):
            second.lines = lines
        for turn, block, filtered in _rows(filter_rows, blocks, lambda bed, block: bed.filter_work(block)):
            turn.do(turn.detector.take_filtered, block, *filtered)
        # measure
        for _, second, measured in _rows(measure_quality, due, lambda bed, second: bed.decisions.quality_work(second)):
            second.measured = measured
        for _, second, waves in _rows(measure_waves, due, lambda bed, second: bed.decisions.waves_work(second)):
            second.waves = waves
        for _, second, steepness in _rows(measure_steepness, due, lambda bed, second: bed.decisions.steep_work(second)):
            second.steepness = steepness
        # decide
        for of_all in zip_longest(*seconds):
            _decide([pair for pair in of_all if pair is not None])
        ended = [turn for turn, block in blocks if block.end is not None]
        _cut_and_compare(
            [(turn, turn.do(turn.detector.decisions.take_beats, turn.detector.blocks.now, True)) for turn in ended]
        )
        for turn, block in blocks:
            turn.do(turn.detector.close_block, block)


def _decide(due: list[tuple[_Turn, Second]]) -> None:
    """One second of each bed: quality, rhythm, R-peaks, beats."""
    for turn, second, compared in _rows(compare_shapes, due, lambda bed, second: bed.decisions.judge(second)):
        turn.do(turn.detector.decisions.choose, second, compared)
    _cut_and_compare([(turn, turn.do(turn.detector.decisions.take_beats, second.end, False)) for turn, second in due])
    for turn, second in due:
        turn.do(turn.detector.decisions.tick, second)


def _cut_and_compare(found: list[tuple[_Turn, list[NewBeat] | None]]) -> None:
    """New beats of each bed, in order of time."""
    beats = [[(turn, beat) for beat in of_bed or ()] for turn, of_bed in found]
    for _, beat, samples in _rows(cut_beats, chain.from_iterable(beats), lambda bed, beat: bed.cut_work(beat)):
        beat.samples = samples
    for of_all in zip_longest(*beats):  # each beat is compared with what the one before it has taught
        here = [pair for pair in of_all if pair is not None]
        for _, beat, compared in _rows(compare_beats, here, lambda bed, beat: bed.decisions.compare_work(beat)):
            beat.compared = compared
        for turn, beat in here:
            turn.do(turn.detector.decisions.judge_beat, beat)


def _rows(
    compute: Callable[[list[Work]], Sequence[Answer]],
    due: Iterable[tuple[_Turn, Item]],
    ask: Callable[[Detector, Item], tuple[Hashable, Work] | None],
) -> Iterator[tuple[_Turn, Item, Answer]]:
    """Ask each bed for shape and work, compute those of equal shape together, and give the answers."""
    works = [((turn, item), *asked) for turn, item in due if (asked := turn.do(ask, turn.detector, item)) is not None]
    for (turn, item), answer in over_rows(compute, works, _fail):
        yield turn, item, answer


def _fail(owner: tuple[_Turn, object], error: Exception) -> None:
    owner[0].error = error
