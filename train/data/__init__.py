"""Data sets, and beats made of them."""
