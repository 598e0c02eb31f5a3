"""The conformance kit: subclass `MethodSuite`, write one worked example by hand, run pytest.

    from adapterhub_lite.testing import MethodSuite

    class TestIA3(MethodSuite):
        method = IA3()

        def expected(self, x, weight, bias, own):
            return (x @ weight.T + bias) * own["scale"]

Every check runs on tiny random models of the families in the anatomy table.  The worked example is
required: a method that scales by the wrong factor passes everything else.  Its gradients are
compared as well, so write it with torch operations.
"""

from __future__ import annotations

from adapterhub_lite.testing.averaging import Averaging
from adapterhub_lite.testing.conditions import Conditions
from adapterhub_lite.testing.effects import Effects
from adapterhub_lite.testing.keeping import Keeping
from adapterhub_lite.testing.worked import WorkedExample


class MethodSuite(Effects, Conditions, Averaging, Keeping, WorkedExample):
    """Checks that every method must pass.  Subclass it and set `method`.

    Attributes:
        method: the method under test.
        config: config values to test with; small ones find more.
        families: model types to run on; left out, one for each distinct anatomy, or all if the
            environment has `AHL_EVERY_FAMILY=1`.
        starts_as_identity: a fresh adapter changes nothing; over equal members, for a method that
            fuses, it leaves what each of them does.
        stacks: two adapters of this method may stand on one another.
        members: refs of what an adapter fuses, for a method that does; `member` makes them.
    """
