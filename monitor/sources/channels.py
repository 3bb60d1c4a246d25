"""Choice of the ECG among the channels of a device, stream or file. Every source uses it.

By the label and the stated unit: lead MLII or II first, then any lead or ECG, then a channel that is only numbered,
then the only voltage or the only channel left. An index, a time, a breath, a pulse wave, a pressure or an acceleration
is never taken. Where the choice is not clear the user chooses, from a list with units and first values.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.errors import SourceError, plain_line
from monitor.sources.units import ADC, canonical_unit, is_no_voltage, unit_in_label, without_unit

__all__ = [
    "Channel",
    "channel_list",
    "check_units",
    "choose",
    "choose_leads",
    "is_ecg",
    "is_other_quantity",
    "lead_names",
    "refuse_same",
]

_LISTED = 24  # channels in an error
_NUMBERED_RANK, _NEVER = 4, 9  # see _rank
_BEST_LEAD = re.compile(r"(ecg|ekg|lead|ableitung)?[ _:-]*(mlii|ml2|mod\.?[ _-]?ii)", re.IGNORECASE)
_LEAD_II = re.compile(r"(ecg|ekg|lead|ableitung|derivaci[oó]n)?[ _:-]*(ii|dii|d2|lead ?2)", re.IGNORECASE)
_LEAD = re.compile(
    r"(lead|ableitung|derivaci[oó]n|d[eé]rivation|ch|channel)?[ _:-]*"
    r"(m?l?i{1,3}|d(i{1,3}|[1-3])|a?v[rlf]|(mod\.?)?v[1-9]r?|mcl?[ _-]?[1-6]|ml[1-6]|c[mcsr][1-6]|es|as|ai)"
    r"([ _-]?(raw|clean|filtered|filt|signal))?",
    re.IGNORECASE,
)
_ECG = re.compile(
    r"(?<![a-z])(ecg|ekg|elektrokardio\w*|electrocardio\w*|cardiogram\w*)(?![a-z])",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"(exg|ads|adc|analog|ain|in|input)?[ _-]*(channel|chan|ch|kanal|canal|sensor|signal|lead|electrode)"
    r"[ _-]*(data|value|raw)?[ _-]*\d{0,3}|(exg|ads|adc|analog|ain|a|in|input)[ _-]*\d{1,3}"
    r"|(eeg|emg)[ _-]+(channel|chan|ch)[ _-]*\d{1,3}",  # inputs of a bioamplifier
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(raw|filtered)?[ _-]*(value|wert|valor|valeur|signal|amplitude|amplitud|voltage|volt|spannung|voltaje|tension"
    r"|potential|data|reading|measurement|y|lead)s?[ _-]*(raw|filtered|\d{0,3})",
    re.IGNORECASE,
)
# Words of a label that name something else; each stands between characters that are no letters.
_OTHER_WORDS = """
    index idx row nr no number num counter packet packets pkt seq sequence frame line id uuid
    time times timestamp timestamps datetime date dates clock zeit datum uhrzeit zeitstempel temps heure tiempo hora
    fecha tempo elapsed second seconds sec secs millis milliseconds micros microseconds epoch unix t ms us ns utc
    year month day
    resp rsp respiration respiratory breath breathing atem atmung flow airflow thorax thoracic abdomen abdominal
    chest belt impedance rip
    ppg pleth plethysmogram pulse puls spo2 sao2 bvp red ir infrared green
    abp art arterial bp nibp cvp pap pa icp press pressure pressao druck co2 etco2
    acc accel acceleration accelerometer beschleunigung gyr gyro gyroscope mag magnetometer imu
    ax ay az gx gy gz mx my mz quat quaternion roll pitch yaw x z
    eda gsr scr scl temp temperature temperatur
    hr heartrate bpm rate rr ibi rri nn pace hrv steps cadence power speed altitude gps lat lon
    emg eeg eog eogl eogr chin leg snore position microphone
    battery batt bat rssi marker markers trigger trig event events label labels annotation annotations comment
    comments note
    notes status state flag flags quality sqi off rpeak rpeaks peak peaks peaks onset onsets offset offsets phase
    class
    delineation aux digital dc other error subject patient name
"""
_OTHER = re.compile(
    rf"(?<![a-z])({'|'.join(sorted(set(_OTHER_WORDS.split()), key=len, reverse=True))})(?![a-z])", re.IGNORECASE
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Channel:
    """What a source states of one of its channels.

    Attributes:
        label: its name; empty = none.
        unit: unit as the source spells it; None or empty = not stated, or part of the label.
        is_ecg: True where the source says so otherwise than by the label.
        usable: False where its values or its rate show that it is no ECG.
        first: first values, for the list.
    """

    label: str
    unit: str | None = None
    is_ecg: bool = False
    usable: bool = True
    first: str = ""


def choose(channels: Sequence[Channel], wanted: str | int | None, name: str, flag: str = "--channel") -> int:
    """Return the number of the channel to read, from 0.

    Args:
        channels: all channels, in order; at least one.
        wanted: label (in any case, with or without its unit) or number given by the user; None = choose.
        name: of the source, for the error.
        flag: option by which the user chooses, for the error.

    Raises:
        SourceError: no such channel, or the choice is not clear; the error lists the channels.
    """
    if wanted is not None:
        return _find(channels, str(wanted), name)
    ranks = [_rank(channel) for channel in channels]
    best = min(ranks)
    if best <= _NUMBERED_RANK or (best < _NEVER and ranks.count(best) == 1):
        return ranks.index(best)
    problem = "no channel is an ECG by its name and unit" if best == _NEVER else "which channel is the ECG is not clear"
    unfit = next((c for c in channels if c.usable and is_ecg(c.label) and is_no_voltage(c.unit)), None)
    unit = "" if unfit is None else f"; {unfit.label} is in {unfit.unit}, no voltage: give --unit too, e.g. --unit mV"
    raise SourceError(f"{name}: {problem}; choose one with {flag}: {channel_list(channels)}{unit}")


def choose_leads(
    channels: Sequence[Channel], wanted: Sequence[str | int | None], name: str, flag: str = "--channel"
) -> tuple[int, ...]:
    """Return the numbers of the channels to read, one or two; see `choose`.

    Raises:
        SourceError: as `choose`; or both are the same channel.
    """
    chosen = tuple(choose(channels, each, name, flag) for each in wanted)
    refuse_same(channels, chosen, wanted, name)
    return chosen


def refuse_same(
    channels: Sequence[Channel], chosen: Sequence[int], wanted: Sequence[str | int | None], name: str
) -> None:
    """Refuse two leads that are one channel, e.g. named once by its label and once by its number."""
    if len(set(chosen)) < len(chosen):
        both = " and ".join(map(repr, wanted))
        raise SourceError(f"{name}: {both} are one channel; give two different ones: {channel_list(channels)}")


def lead_names(names: Sequence[str], numbers: Sequence[int]) -> tuple[str, ...]:
    """Names of the leads that are read; two without a name of their own get the number of their channel.

    >>> lead_names(["II", "V1"], [0, 3]), lead_names(["ECG", "ECG"], [0, 3]), lead_names(["ECG"], [1])
    (('II', 'V1'), ('ECG 0', 'ECG 3'), ('ECG',))
    """
    if len(set(names)) < len(names):
        names = [f"{name} {number}" for name, number in zip(names, numbers, strict=True)]
    return tuple(map(plain_line, names))


def check_units(leads: Sequence[str], units: Sequence[str], name: str) -> None:
    """Refuse two leads in different units: a source has one unit.

    Raises:
        SourceError: they differ.
    """
    if len(set(units)) > 1:
        stated = " and ".join(f"{lead} in {unit}" for lead, unit in zip(leads, units, strict=True))
        raise SourceError(f"{name}: it gives {stated}; two leads need one unit, so read one, e.g. --channel {leads[0]}")


def channel_list(channels: Sequence[Channel]) -> str:
    """The channels in one line: number, label, unit, first values.

    >>> channel_list([Channel("RESP", "NU"), Channel("ECG", "mV", first="0.1 0.2")])
    '0 RESP [NU], 1 ECG [mV] (0.1 0.2)'
    """
    texts = []
    for number, channel in enumerate(channels[:_LISTED]):
        unit = f" [{channel.unit}]" if channel.unit else ""
        first = f" ({channel.first})" if channel.first else ""
        texts.append(f"{number} {channel.label}".rstrip() + unit + first)
    more = len(channels) - _LISTED
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def is_ecg(label: str) -> bool:
    """Whether a label contains ECG or names a lead, and names nothing else.

    >>> [is_ecg(label) for label in ("ECG_Raw", "aVF", "EKG (mV)", "ECG_Rate", "RESP", "Lead I")]
    [True, True, True, False, False, True]
    """
    plain = without_unit(label).strip(" \t.")
    if _LEAD.fullmatch(plain):
        return True
    return bool(_ECG.search(plain)) and not is_other_quantity(plain)


def is_other_quantity(label: str) -> bool:
    """Whether a label names something that is no ECG: an index, a time, RESP, PPG, a pressure, an acceleration.

    >>> [is_other_quantity(label) for label in ("Sample Index", "sensor timestamp [ns]", "accX", "ECG II", "Channel 1")]
    [True, True, True, False, False]
    """
    plain = without_unit(label).strip(" \t.")
    return bool(_OTHER.search(_CAMEL.sub(" ", plain)) or _OTHER.search(plain))


def _rank(channel: Channel) -> int:
    """0 = the best lead; up to _NUMBERED_RANK the first of several is taken; _NEVER = no ECG."""
    plain = without_unit(channel.label).strip(" \t.")
    unit = channel.unit or unit_in_label(channel.label)
    if not channel.usable or is_no_voltage(unit):
        return _NEVER
    if _BEST_LEAD.fullmatch(plain):
        return 0
    if _LEAD_II.fullmatch(plain):
        return 1
    if is_ecg(channel.label) or (channel.is_ecg and not is_other_quantity(channel.label)):
        return 2
    if _NUMBERED.fullmatch(plain) and plain:
        return _NUMBERED_RANK
    if is_other_quantity(channel.label):
        return _NEVER
    if canonical_unit(unit or "") not in (None, ADC):
        return 5
    return 6 if _VALUE.fullmatch(plain) else 7


def _find(channels: Sequence[Channel], wanted: str, name: str) -> int:
    labels = [channel.label for channel in channels]
    wanted = wanted.strip()
    if wanted in labels:
        return labels.index(wanted)
    for plain in (labels, [without_unit(label) for label in labels]):
        alike = [number for number, label in enumerate(plain) if label.strip().lower() == wanted.lower()]
        if alike:
            return alike[0]
    if wanted.isdecimal() and int(wanted) < len(labels):
        return int(wanted)
    raise SourceError(f"{name}: no channel {wanted!r}; channels: {channel_list(channels)}")
