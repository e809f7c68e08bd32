"""The faults that the emulator knows."""
