"""The 24 noiseless BBOB functions on COCO's own instances: `bbob_f1` to `bbob_f24`.

Box [-5, 5]^dim, dim of at least 2. The seed is COCO's instance number: `make("bbob_f3", dim=10, seed=2)`, or
`instance: 2` in an experiment, is the function that COCO calls bbob_f003_i02_d10. COCO counts from 1; seed 0
is what its generator makes of the number 0, which no suite of COCO's holds. COCO itself is not needed.

Everything is computed in float64 and given in the dtype of x: f16 and f23 have ripples that float32 does not
see. Values are COCO's up to rounding, which those ripples enlarge (`tests/problems/test_bbob.py`).

References
----------
.. [1] N. Hansen, S. Finck, R. Ros, A. Auger (2009), Real-Parameter Black-Box Optimization Benchmarking 2009:
   Noiseless Functions Definitions, INRIA RR-6829.
.. [2] N. Hansen, A. Auger, R. Ros, O. Mersmann, T. Tušar, D. Brockhoff (2021), COCO: a platform for comparing
   continuous optimizers in a black-box setting, Optimization Methods and Software 36, 114-144; its code,
   numbbo/coco, has the instances.
"""

from hybridopt.problems.bbob import (  # noqa: F401 (they register themselves)
    ill_conditioned,
    moderate,
    separable,
    structured,
    weak,
)
