"""Reports over hours of beats: RR intervals, heart rate, HRV, ectopic beats, shapes, and one document of them. Pure."""
