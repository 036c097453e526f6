"""`scripts/soak`: many calls, faults by chance, and an account of every call, row and recording.

`traffic.py` places the calls and hears what becomes of them, `faults.py` breaks things and mends them,
`account.py` says where each call had to end and what was lost, `report.py` writes it down.
"""
