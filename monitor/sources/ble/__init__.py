"""ECG over Bluetooth Low Energy: Polar H10, Movesense, devices with a given layout; needs the extra `ble`."""
