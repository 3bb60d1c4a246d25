"""Messages of the bus: frozen structs, topics, JSON.

Every body is one JSON object. Its field `schema` names kind and version and is msgspec's tag, so a body decodes
without its topic. The JSON Schema of each message is generated from these structs into `monitor/schema/`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from monitor.alarm_state import PRIORITY_RANK, Alarm, AlarmState, Evidence, Priority
from monitor.status_figures import HourCounts, ShortTermHrv

__all__ = [
    "AUDIO_PAUSE_MAX_S",
    "PRIORITY_RANK",
    "Alarm",
    "AlarmMessage",
    "AlarmState",
    "BeatMessage",
    "EventMessage",
    "Evidence",
    "HeartbeatMessage",
    "HourCounts",
    "Message",
    "ModelInfo",
    "Priority",
    "Reply",
    "Request",
    "ShortTermHrv",
    "StatusMessage",
    "WaveHeader",
    "bed_topic",
    "decode",
    "encode",
    "register_types",
]

PROTOCOL = "v1"
HEARTBEAT_TOPIC = f"{PROTOCOL}/monitor/heartbeat/"
AUDIO_PAUSE_MAX_S = 120.0  # an audio pause ends by itself (IEC 60601-1-8 practice)

Stream = Literal["alarm", "beat", "status", "event", "wave"]


def bed_topic(bed: str, stream: Stream) -> str:
    """Topic of one stream of one bed, e.g. `v1/p1/alarm/`; the trailing slash keeps `p1` apart from `p10`."""
    return f"{PROTOCOL}/{bed}/{stream}/"


class ModelInfo(msgspec.Struct, frozen=True):
    """Name and SHA-256 (hex) of the model that scored the beats."""

    name: str
    sha256: str


class _Body(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema"):
    """Fields of every body.

    Attributes:
        epoch: id of this run of the monitor. When it changes, a subscriber requests a snapshot.
        seq: number of the message within its topic: 1, 2, 3, ... After a gap, a subscriber requests `since`.
        sample: the bed's sample clock when the message was made; 0 in the monitor's own messages.
        time: time of that sample on the stream's clock, ISO 8601 UTC.
    """

    epoch: str = ""
    seq: int = 0
    sample: int = 0
    time: str = ""


class AlarmMessage(_Body, frozen=True, kw_only=True, tag="alarm/1"):
    """A change of one alarm, on `v1/<bed>/alarm/`.

    Attributes:
        latency_ms: time from the arrival of the deciding sample to publication, ms; None in replay at max speed.
    """

    alarm: Alarm
    model: ModelInfo
    latency_ms: float | None = None


class BeatMessage(_Body, frozen=True, kw_only=True, tag="beat/1"):
    """One scored beat, on `v1/<bed>/beat/`.

    Attributes:
        r_sample: R-peak, source samples.
        rr_s: RR interval to the beat before, s; None after a gap or at the start.
        log_prob: log p(x), nats; higher = more normal; None where the beat was not scored.
        score: anomaly score from all evidence; higher = more anomalous, at most 100 spreads of the training normals
            above their centre; None where the beat was not scored.
        p_value: p-value against the patient's reference, 0 to 1; None where the beat was not scored.
        threshold: `anomalous` means a score above it; None where the beat was not scored.
        words: why an anomalous beat is unusual, as far as known when the beat was decided, e.g. `["wide", "early"]`;
            empty for any other beat.
        quality: signal quality of the beat: `good`, or why it was not scored.
        heart_rate_bpm: mean over the last beats, beats a minute.
        latency_ms: as in AlarmMessage.
        paced: a pacing pulse was directly before the R-peak, up to 150 ms.

    Many attributes: one per field of the message.
    """

    bed: str
    r_sample: int
    rr_s: float | None
    log_prob: float | None
    score: float | None
    p_value: float | None
    threshold: float | None
    anomalous: bool
    quality: str
    heart_rate_bpm: float | None = None
    latency_ms: float | None = None
    words: tuple[str, ...] = ()
    paced: bool = False


class StatusMessage(_Body, frozen=True, kw_only=True, tag="status/1"):
    """State of one bed, on `v1/<bed>/status/`, about once a second and at every change of state.

    Attributes:
        state: `starting`, `running`, `no_data`, `source_lost`, `ended`.
        source: source of the bed, e.g. `mitdb:208`.
        lead: name of the lead, e.g. `MLII`.
        fs_hz: sampling rate of the source, Hz.
        speed: replay speed; 1 = real time, 0 = as fast as possible.
        quality: signal quality of the last second: `good`, or the worst of `hum`, `muscle`, `wander`, `motion`,
            `clipped`, `flat`, `settling`, `gap`, `leads_off`, `calibration`, `unit`.
        mains_hz: frequency of the notch filter against mains hum, 50 or 60 Hz; None = no notch.
        scorable: whether beats are being scored.
        samples_in, samples_lost: samples received, and samples missing in gaps.
        beats, anomalous_beats, unscored_beats, gaps: counts since the start.
        dropped_waves: wave messages left out for slow displays; beats and alarms are never left out.
        latency_p50_ms, latency_p99_ms: deciding sample to publication, last 1,000 beats; None in replay.
        pacer_pulses: pacing pulses since the start.
        audio_paused_s: rest of an audio pause, s; 0 = not paused.
        rhythm: the present rhythm in words, e.g. `regular`, `ventricular bigeminy`, `asystole`, `not watched`; empty
            while it is not known (docs/alarms.md lists the words).
        last_hour: counts of ventricular beats and their patterns.
        unwatched_s: time since the last second of good signal, s, by the sample clock.
        rate_low_bpm, rate_high_bpm: limits of the alarms `bradycardia` and `tachycardia`, beats a minute; None = that
            alarm is off. Absent in messages of older monitors.
        hrv: heart rate variability of the last 5 minutes.

    Many attributes: one per field of the message.
    """

    bed: str
    state: Literal["starting", "running", "no_data", "source_lost", "ended"]
    source: str
    lead: str
    fs_hz: float
    speed: float
    quality: str
    scorable: bool
    heart_rate_bpm: float | None = None
    samples_in: int = 0
    samples_lost: int = 0
    beats: int = 0
    anomalous_beats: int = 0
    unscored_beats: int = 0
    gaps: int = 0
    dropped_waves: int = 0
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    audio_paused_s: float = 0.0
    model: ModelInfo = ModelInfo("", "")
    mains_hz: float | None = None
    rhythm: str = ""
    last_hour: HourCounts = HourCounts()
    unwatched_s: float = 0.0
    pacer_pulses: int = 0
    rate_low_bpm: float | msgspec.UnsetType | None = msgspec.UNSET
    rate_high_bpm: float | msgspec.UnsetType | None = msgspec.UNSET
    hrv: ShortTermHrv = ShortTermHrv()


class EventMessage(_Body, frozen=True, kw_only=True, tag="event/1"):
    """One event of the input, on `v1/<bed>/event/`. An event has no duration; a lasting condition is an alarm.

    Attributes:
        kind: `gap` (samples are missing), `bad_input` (input that is no sample), `overrun` (samples arrived faster than
            they could be read), `source_lost`, `source_back`, `sampling_rate`, `sampling_rate_right`, `format` (the
            device format that was recognised), `battery` (charge of a device), `lead` (another lead of two is used),
            `monitor_died` (the previous run was killed; lists its active alarms), `journal_back` (the journal is
            written again; says what was lost),
            `bed_resumed` (the bed's monitor was killed or moved; says how many samples were not analysed),
            `notify_failed`, `notify_back` (a receiver of `[notify]` does not take alarms; takes them again), or a kind
            of an installed source package.
        text: one line to read.
        count: number of occurrences; for `bad_input` and `overrun`, since the event before.
        first_sample: `gap`: the first missing sample; else the bed's sample clock.
        n_samples: `gap`: number of missing samples; else 0.
    """

    bed: str
    kind: str
    text: str
    count: int = 1
    first_sample: int = 0
    n_samples: int = 0


class HeartbeatMessage(_Body, frozen=True, kw_only=True, tag="heartbeat/1"):
    """Sign of life of the monitor, on `v1/monitor/heartbeat/`, once a second of wall time.

    Attributes:
        state: `running`; `goodbye` in the last message of an orderly end.
        beds: names of the beds.
        uptime_s: time since the start, s.
        seqs: last `seq` of every topic, so that a subscriber detects a missing last message.
        late_s: greatest delay of a bed's processing in the last second, s.
        thinned: streams left out because of that delay: `waves`, `status`; never beats or alarms.
    """

    state: Literal["running", "goodbye"]
    beds: tuple[str, ...]
    uptime_s: float
    version: str
    seqs: dict[str, int] = {}
    late_s: float = 0.0
    thinned: tuple[str, ...] = ()


class WaveHeader(_Body, frozen=True, kw_only=True, tag="wave/1"):
    """Header of a wave message (frames: topic, this, samples) on `v1/<bed>/wave/`.

    The third frame holds float32 little-endian mV, shape (len(channels), n), row by row. Wave messages may be dropped.

    Attributes:
        first_sample: index of the first column, source samples.
        n: columns.
        fs_hz: sampling rate, Hz.
        channels: names of the rows, `("raw", "filtered")`; NaN = no valid sample (leads off).
        pacer_samples: pacing pulses in these columns, source samples, the first of each; `filtered` is without them.
    """

    bed: str
    first_sample: int
    n: int
    fs_hz: float
    channels: tuple[str, ...] = ("raw", "filtered")
    pacer_samples: tuple[int, ...] = ()


Message = AlarmMessage | BeatMessage | StatusMessage | EventMessage | HeartbeatMessage | WaveHeader


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request on the control socket.

    Attributes:
        op: operation.
        id: returned with the reply.
        bed: bed of `acknowledge`, `pause_audio`, `strip` or `snapshot`; empty = all beds.
        alarm_id: alarm to acknowledge, alarm of the strip, or of `history`: then the operator actions about it.
        who: name of the operator of `acknowledge` and `pause_audio`; written to the journal.
        topic, epoch, seq: `since`: returns the messages of `topic` after `seq` of `epoch`.
        seconds: `pause_audio`: length of the pause, s, at most AUDIO_PAUSE_MAX_S; 0 ends a pause.
        first_sample, n: `strip`: range of source samples, instead of the strip of an alarm; `history` of an alarm:
            range of the beats to return.
    """

    op: Literal["snapshot", "since", "acknowledge", "pause_audio", "strip", "history", "ping"]
    id: str = ""
    bed: str = ""
    alarm_id: str = ""
    who: str = ""
    topic: str = ""
    epoch: str = ""
    seq: int = 0
    seconds: float = 0.0
    first_sample: int | None = None
    n: int | None = None


class Reply(msgspec.Struct, frozen=True):
    """Reply to a Request: `ok`, or `error` with the reason in one line.

    Attributes:
        messages: JSON bodies. `snapshot`: status of each bed and every active alarm; `since`: the missed messages;
            `history` of an alarm: the beats in that range.
        complete: `since`: False where the journal no longer holds all requested messages.
        data: other results, e.g. of `strip`: first_sample, fs_hz, raw_mv, filtered_mv, r_samples.
    """

    ok: bool
    id: str = ""
    error: str = ""
    epoch: str = ""
    messages: tuple[msgspec.Raw, ...] = ()
    complete: bool = True
    data: dict[str, Any] = {}


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(body: Message | Request | Reply) -> bytes:
    """JSON bytes of a body."""
    return _encoder.encode(body)


def decode(body: bytes) -> Message:
    """Body of any message on the alarm or wave sockets.

    Raises:
        ValueError: not JSON, or no known schema (msgspec's errors are ValueErrors).
    """
    return _decoder.decode(body)


def register_types(*types: type) -> None:
    """Make msgspec's type information for structs at import, in one thread.

    msgspec makes it at the first conversion to a type, and not thread-safely: two threads that converted first at the
    same time (shards that start in one worker) crashed the process (seen with msgspec 0.22).
    """
    for kind in types:
        msgspec.json.Decoder(kind)
