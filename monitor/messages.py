"""What travels on the bus: frozen message structs, their topics, their JSON.

Every body is one JSON object. `schema` names its kind and version and is msgspec's tag, so a body decodes
without its topic. The JSON Schema of each message is generated from these structs into `monitor/schema/`.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "AUDIO_PAUSE_MAX_S",
    "Alarm",
    "AlarmMessage",
    "AlarmState",
    "BeatMessage",
    "Category",
    "EventMessage",
    "Evidence",
    "HeartbeatMessage",
    "Message",
    "ModelInfo",
    "Priority",
    "Reply",
    "Request",
    "StatusMessage",
    "WaveHeader",
    "bed_topic",
    "decode",
    "encode",
]

PROTOCOL = "v1"
HEARTBEAT_TOPIC = f"{PROTOCOL}/monitor/heartbeat/"
AUDIO_PAUSE_MAX_S = 120.0  # IEC 60601-1-8 practice and our own rule: an audio pause ends by itself

Category = Literal["physiological", "technical"]
Priority = Literal["high", "medium", "low"]
AlarmState = Literal["onset", "latched", "acknowledged", "cleared"]
Stream = Literal["alarm", "beat", "status", "event", "wave"]


def bed_topic(bed: str, stream: Stream) -> str:
    """Topic of one stream of one bed, e.g. `v1/p1/alarm/`; the trailing slash keeps `p1` apart from `p10`."""
    return f"{PROTOCOL}/{bed}/{stream}/"


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why an alarm was raised: the numbers a clinician may check.

    Attributes:
        r_samples: R-peaks of the beats concerned, source samples.
        log_prob: log p(x) of those beats, nats; higher = more normal. Same order as `r_samples`.
        score: anomaly score of those beats, all evidence together; higher = more anomalous. Same order.
        p_value: p-value of those beats against the patient's own reference, 0 to 1.
        words: why each of those beats is unusual, e.g. `["wide", "early", "then a pause"]`; the words are those of
            `detector/explain.py`, `text` of the alarm has them with their numbers.
        rr_ratio: RR before those beats over the patient's usual RR (median of the last 64, or of the last 8 where an
            anomalous beat is further from that), 1 = usual.
        qrs_ms: QRS duration of those beats, ms; None where it was not measured (a usual beat).
        usual_qrs_ms: that of the patient's template then, ms.
        residual: distance of those beats to the patient's template, in QRS heights.
        threshold: score over which a beat of this patient counts as anomalous.
        heart_rate_bpm: heart rate at the deciding sample, beats a minute; None if not known.
        quality: signal quality at the deciding sample.
        limit: the configured limit that was crossed, in the unit of `limit_unit`.
        value: the measured value that crossed it.
        limit_unit: unit of `limit` and `value`, e.g. `s`, `bpm`, `beats`.
    """

    r_samples: tuple[int, ...] = ()
    log_prob: tuple[float | None, ...] = ()
    score: tuple[float | None, ...] = ()
    p_value: tuple[float | None, ...] = ()
    words: tuple[tuple[str, ...], ...] = ()
    rr_ratio: tuple[float | None, ...] = ()
    qrs_ms: tuple[float | None, ...] = ()
    usual_qrs_ms: tuple[float | None, ...] = ()
    residual: tuple[float | None, ...] = ()
    threshold: float | None = None
    heart_rate_bpm: float | None = None
    quality: str = ""
    limit: float | None = None
    value: float | None = None
    limit_unit: str = ""


class Alarm(msgspec.Struct, frozen=True):
    """One state of one alarm, as the alarm engine returns it; time is the source's sample clock.

    Attributes:
        alarm_id: `<bed>/<kind>/<onset sample>`: the same replay gives the same ids.
        kind: one of WIRE's kinds, e.g. `asystole`.
        state: onset, latched (cause gone, not yet acknowledged), acknowledged, cleared.
        onset_sample: where the cause began, source samples.
        decided_sample: the sample whose arrival decided this state, source samples.
        count: how often the cause recurred while this alarm lasted (updates, not new alarms).
        text: one line for a person.
        update: only text and evidence have grown (what followed the beat is known now): no new state, no new alarm.
        acknowledged_by: who acknowledged, empty if nobody did.
        covered_by: id of the alarm of the same cause that took this one's place, empty if it ended by itself.
    """

    alarm_id: str
    bed: str
    kind: str
    category: Category
    priority: Priority
    state: AlarmState
    onset_sample: int
    decided_sample: int
    text: str
    evidence: Evidence = Evidence()
    count: int = 1
    acknowledged_by: str = ""
    update: bool = False
    covered_by: str = ""


class ModelInfo(msgspec.Struct, frozen=True):
    """Name and SHA-256 (hex) of the model that scored."""

    name: str
    sha256: str


class _Body(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema"):
    """Fields of every body.

    Attributes:
        epoch: id of this run of the monitor; a new one means: take a snapshot.
        seq: counts the messages of this topic from 1, step 1; a hole means: ask `since`.
        sample: the bed's sample clock when the message was made (0 for the monitor's own messages).
        time: that sample's time, ISO 8601 UTC, on the stream's clock.
    """

    epoch: str = ""
    seq: int = 0
    sample: int = 0
    time: str = ""


class AlarmMessage(_Body, frozen=True, kw_only=True, tag="alarm/1"):
    """A change of one alarm, on `v1/<bed>/alarm/`.

    Attributes:
        latency_ms: from the arrival of the deciding sample to publication, ms; None in replay at max speed.
    """

    alarm: Alarm
    model: ModelInfo
    latency_ms: float | None = None


class BeatMessage(_Body, frozen=True, kw_only=True, tag="beat/1"):
    """One scored beat, on `v1/<bed>/beat/`.

    Attributes:
        r_sample: R-peak, source samples.
        rr_s: RR interval to the beat before, s; None after a gap or at the start.
        log_prob: log p(x), nats, higher = more normal; None where the beat was not scorable.
        score: anomaly score, all evidence together, higher = more anomalous: what decides; None where not scored.
        p_value: p-value against the patient's reference, 0 to 1; None where not scored.
        threshold: score over which this patient's beat is anomalous now; None where not scored.
        words: why an anomalous beat is unusual, as far as it was known when the beat was decided, e.g.
            `["wide", "early"]`; empty for any other beat.
        quality: signal quality of the beat (`good`, or why it was not scored).
        heart_rate_bpm: mean over the last beats, beats a minute.
        latency_ms: as in AlarmMessage.
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


class StatusMessage(_Body, frozen=True, kw_only=True, tag="status/1"):
    """State of one bed, on `v1/<bed>/status/`, about once a second and at every change of state.

    Attributes:
        state: `starting`, `running`, `no_data`, `source_lost`, `ended`.
        source: what feeds the bed, e.g. `mitdb:208`.
        lead: name of the lead, e.g. `MLII`.
        fs_hz: sampling rate of the source, Hz.
        speed: replay speed; 1 = real time, 0 = as fast as possible.
        quality: signal quality of the last second: `good`, or the worst of `hum`, `muscle`, `wander`, `motion`,
            `clipped`, `flat`, `settling`, `gap`, `leads_off`.
        mains_hz: what a notch takes out against mains hum, 50 or 60 Hz; None = it is off.
        scorable: whether beats are being scored.
        samples_in, samples_lost: counted by the detector; lost = missing in gaps.
        beats, anomalous_beats, unscored_beats, gaps: counts since the start.
        dropped_waves: wave messages thinned for slow displays (looking only, never scoring).
        latency_p50_ms, latency_p99_ms: deciding sample to publication, last 1,000 beats; None in replay.
        audio_paused_s: what is left of an audio pause, s; 0 = not paused.
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


class EventMessage(_Body, frozen=True, kw_only=True, tag="event/1"):
    """Something that happened on the way in, once, on `v1/<bed>/event/`; what lasts is an alarm.

    Attributes:
        kind: `gap` (samples that never came), `bad_input` (what was no sample), `overrun` (samples that came faster
            than they could be taken), `source_lost`, `source_back`, `sampling_rate`, `sampling_rate_right`, `format`
            (what a device was taken for), `monitor_died` (the run before was killed: its alarms of then),
            `journal_back` (it is written again: what was lost), `bed_resumed` (its monitor was killed or moved: how
            many samples nobody looked at), or a word of a source of your own.
        text: one line for a person.
        count: how many; of `bad_input` and `overrun`, which come in numbers, all since the event before.
        first_sample: `gap`: the first sample missing; else the bed's sample clock.
        n_samples: `gap`: how many are missing; else 0.
    """

    bed: str
    kind: str
    text: str
    count: int = 1
    first_sample: int = 0
    n_samples: int = 0


class HeartbeatMessage(_Body, frozen=True, kw_only=True, tag="heartbeat/1"):
    """The monitor lives, on `v1/monitor/heartbeat/`, once a second of wall time.

    Attributes:
        state: `running`; `goodbye` is the last message of an orderly end.
        beds: names of the beds.
        uptime_s: since start, s.
        seqs: last `seq` of every topic, so that a subscriber sees a hole in a silent topic.
        late_s: how late beds are looked at, s: the latest of the last second.
        thinned: what is left out meanwhile because of that: `waves`, `status`; never a beat or alarm.
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

    The third frame holds float32 little-endian mV, shape (len(channels), n), row by row. May be dropped.

    Attributes:
        first_sample: index of the first column, source samples.
        n: columns.
        fs_hz: sampling rate, Hz.
        channels: names of the rows, `("raw", "filtered")`; NaN = no valid sample (leads off).
    """

    bed: str
    first_sample: int
    n: int
    fs_hz: float
    channels: tuple[str, ...] = ("raw", "filtered")


Message = AlarmMessage | BeatMessage | StatusMessage | EventMessage | HeartbeatMessage | WaveHeader


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request on the control socket.

    Attributes:
        op: what is asked.
        id: returned with the reply.
        bed: bed concerned (`acknowledge`, `pause_audio`, `strip`, `snapshot` of one bed); empty = all.
        alarm_id: alarm to acknowledge, or whose strip is wanted.
        who: who acknowledges or pauses; journalled.
        topic, epoch, seq: `since`: messages of `topic` after `seq` of `epoch`.
        seconds: `pause_audio`: how long, s, at most AUDIO_PAUSE_MAX_S; 0 ends a pause.
        first_sample, n: `strip`: a stretch of raw samples instead of an alarm's.
    """

    op: Literal["snapshot", "since", "acknowledge", "pause_audio", "strip", "ping"]
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
    """Reply to a Request: `ok`, or `error` with one line of reason.

    Attributes:
        messages: JSON bodies (`snapshot`: status of each bed and every active alarm; `since`: what was missed).
        complete: `since`: False where the journal no longer holds everything asked for.
        data: anything else, e.g. `strip`: first_sample, fs_hz, raw_mv, filtered_mv, r_samples.
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
