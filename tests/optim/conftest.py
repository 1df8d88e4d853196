import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def _few_objects():
    """Put aside what lives before a file's tests: `Hybrid` looks for modules among all living objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
