"""What strangers control, each by one file: `target` takes any bytes, and raises nothing.

`scripts/fuzz NAME --minutes N` runs one under atheris, which follows the code that its inputs reach;
`tests/property/test_fuzz.py` runs all of them on their seeds, crashes of the past among them, and by chance.
"""
