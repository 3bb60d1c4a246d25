"""Real-time ECG on plain numpy: arrays in, values out.

    >>> import numpy as np
    >>> from detector import Detector
    >>> detector = Detector(fs_hz=250)
    >>> detector.push(np.zeros(0))
    []
"""
