"""A serial ECG device without hardware: any source played as one, with what goes wrong in real life."""
