"""The demonstration behind `scripts/demo`: real calls of every kind, shown as they happen.

Read `scenes.py`, which tells what is shown; `line.py` is one call, `stage.py` the real parts
that it goes through, `scene.py` plays the scenes, `board.py` shows them, `report.py` sums up.
"""
