"""How callers sound: samples in, evidence out. Pure, and needs the extra `audio` (numpy, earshot).

`speech.py` tells speech from everything else, `fingerprint.py` whether two recordings are the same.
Sound is 8 kHz, mono, 16 bit: what a telephone line carries and Asterisk records.
"""
