"""Simulators that speak the real protocols, with levers."""
