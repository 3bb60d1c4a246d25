"""Chest straps over Bluetooth Low Energy: the Polar H10; needs the extra `ble`."""
