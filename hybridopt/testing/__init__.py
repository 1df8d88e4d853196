"""The laws every optimizer passes, as a suite for optimizers of your own.

With pytest, in a test module of yours:

    import hybridopt.testing, pytest
    from mypackage import MyOptimizer

    @pytest.mark.parametrize(**hybridopt.testing.parametrization(MyOptimizer()))
    def test_law(check):
        check()

Without: `hybridopt.testing.check_optimizer(MyOptimizer())`, or one law alone,
`LAWS["ask_is_idempotent"](MyOptimizer(), Case())`. A law that does not apply (a shift, where the traits
declare no equivariance) is left out. State classes must stand at the top level of a module, so that a
checkpoint can name them.
"""

from hybridopt.testing import chance, contract, fake_cuda, nonfinite, space
from hybridopt.testing.check import check_optimizer, parametrization
from hybridopt.testing.law import LAWS, Case, Law, LawError

__all__ = ["LAWS", "Case", "Law", "LawError", "check_optimizer", "parametrization"]

del chance, contract, fake_cuda, nonfinite, space  # imported for the laws they enter
