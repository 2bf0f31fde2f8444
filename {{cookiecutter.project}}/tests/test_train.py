"""Every model of configs/model/ is trained, interrupted, resumed, predicts alone, and trains in two processes.

A new file there is tested, too. If it needs other data than the default's, say so in choices.py.
"""

import pytest
from choices import complete
from conftest import CHECKS


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("model", complete("model"))
def test_every_model(checked, model: str, check) -> None:
    checked[model][check].result()
