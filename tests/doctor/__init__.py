"""What can be wrong with an installation, done to a real one: `house.py` is the house, breaks are by group.

`BREAKS` has at least one for each check of `screener doctor`; tests/e2e/test_doctor.py does them one by one.
"""

from tests.doctor import asterisk, manager, ours, recordings, store
from tests.doctor.house import BREAKS, Break, Examined

__all__ = ["BREAKS", "Break", "Examined", "asterisk", "manager", "ours", "recordings", "store"]
