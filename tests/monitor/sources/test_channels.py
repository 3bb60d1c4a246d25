"""The one choice of the ECG among channels."""

from __future__ import annotations

import pytest

from monitor.errors import SourceError
from monitor.sources.channels import Channel, choose


def chosen(*labels: str | tuple[str, str], wanted: str | int | None = None) -> str:
    channels = [Channel(*label) if isinstance(label, tuple) else Channel(label) for label in labels]
    return channels[choose(channels, wanted, "csv:x")].label


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (["RSP", "ECG"], "ECG"),
        (["", "time", "ECG"], "ECG"),
        (["Phone timestamp", "sensor timestamp [ns]", "ecg [uV]"], "ecg [uV]"),
        (["V5", "MLII"], "MLII"),
        (["I", "II", "III", "aVR"], "II"),
        (["V5", "V2"], "V5"),
        (["PPG", "ABP", "Lead I"], "Lead I"),
        (["ECG_Raw", "ECG_Clean", "ECG_Rate", "ECG_Quality"], "ECG_Raw"),
        (["ECG_Rate", "ECG_Quality", "ECG_Clean"], "ECG_Clean"),
        (["Sample Index", "EXG Channel 0", "EXG Channel 1", "Accel Channel 0", "Timestamp"], "EXG Channel 0"),
        (["EEG Fpz-Cz", "EOG horizontal", "EMG submental", "ECG"], "ECG"),
        (["S_Timestamp_Unix_CAL", "S_ECG_LL-RA_24BIT_CAL"], "S_ECG_LL-RA_24BIT_CAL"),
        (["accX", "accY", "accZ", "ekg"], "ekg"),
        ([("Resp", "NU"), ("signal", "mV")], "signal"),
        ([("a1", "mmHg"), ("b2", "mV"), ("c3", "bpm")], "b2"),
        (["temperature", "humidity_voltage", "voltage"], "voltage"),
        (["counter", "lead-off", "value"], "value"),
        (["Zeit (s)", "Spannung (mV)"], "Spannung (mV)"),
    ],
)
def test_the_ecg_is_chosen(labels: list[str | tuple[str, str]], wanted: str) -> None:
    assert chosen(*labels) == wanted


@pytest.mark.parametrize(
    "labels",
    [
        ["RESP"],
        ["index", "time"],
        ["PPG", "ABP", "SpO2"],
        ["alpha", "beta"],
        [("alpha", "mV"), ("beta", "uV")],
        [("ECG", "mmHg")],
        ["EEG Fpz-Cz", "EOG horizontal"],
        ["heart rate"],
    ],
)
def test_an_unclear_choice_is_the_users_and_the_remedy_works(labels: list[str | tuple[str, str]]) -> None:
    with pytest.raises(SourceError, match=r"choose one with --channel: 0 ") as refusal:
        chosen(*labels)
    assert "\n" not in str(refusal.value)
    for number, label in enumerate(labels):
        text = label if isinstance(label, str) else label[0]
        assert text in str(refusal.value)
        assert chosen(*labels, wanted=number) == text


@pytest.mark.parametrize("wanted", ["ECG [mV]", "ecg [mv]", "ECG", "ecg", "1", 1])
def test_a_channel_is_found_by_label_without_case_or_unit_and_by_number(wanted: str | int) -> None:
    assert chosen("time", "ECG [mV]", wanted=wanted) == "ECG [mV]"


def test_a_wrong_name_lists_the_channels() -> None:
    with pytest.raises(SourceError, match=r"no channel 'V9'; channels: 0 V1, 1 V2"):
        chosen("V1", "V2", wanted="V9")
