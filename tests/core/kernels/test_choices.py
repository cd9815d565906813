"""What `doctor` says of the kernels: one line a function, for every platform."""

import pytest

from regrax.core import kernels
from regrax.core.kernels.choices import choices


@pytest.mark.parametrize("platform", [None, "cpu", "gpu", "rocm", "tpu"])
def test_every_function_that_computes_says_what_it_runs(platform):
    found = choices(platform)
    said = {name for choice in found for name in choice.function.split(", ")}
    assert all(callable(getattr(kernels, name)) for name in said)
    assert {"softmax", "log_softmax", "logsumexp", "softmax_cross_entropy"} < said
    assert {"decode_attention", "attention", "z_loss_spherical", "soft_topk", "kseq"} < said
    assert all(choice.name and choice.why and str(choice).count("\n") == 0 for choice in found)
    pallas = {choice.function for choice in found if "mosaic" in choice.name.lower()}
    accelerated = {"softmax", "log_softmax", "logsumexp", "softmax_cross_entropy"}
    assert pallas - {"decode_attention"} == (accelerated if platform in ("gpu", "tpu") else set())


def test_an_unknown_platform_is_an_error_in_words():
    with pytest.raises(ValueError, match="no platform 'cuda12': did you mean 'cuda'"):
        choices("cuda12")
