"""The benchmark of contextual bandits at toy size: the programs agree. No speed is asserted."""

import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regrax.benchmarks import contextual, numpy_neural, torch_neural
from regrax.benchmarks.harness import Unavailable
from regrax.core.compiled import jit
from regrax.core.learners.neural import OnlineNetwork
from regrax.core.learners.neural.networks import Weights
from regrax.core.learners.neural.online import OnlineState
from regrax.core.learners.reductions import inverse_gap, small_loss_inverse_gap
from regrax.core.protocol import Context

K, D, M = 3, 4, 5


def as_ours(network):
    """The weights of the NumPy program, as `OnlineNetwork` keeps them."""
    shared = {
        "layer0": {"bias": network.offsets.copy()},
        "layer1": {"kernel": network.last[:, None].copy(), "bias": network.offset.copy()},
    }
    return Weights(jnp.asarray(network.first.transpose(2, 0, 1).copy()), shared)


@jit
def ours(weights, x, arm, loss):
    """Losses that `OnlineNetwork` predicts, and its weights after a step."""
    learner = OnlineNetwork(K, D, True, hidden=(M,), learning_rate=0.25, of="losses")
    state = OnlineState(weights, None, jnp.int32(0), jnp.uint32(0))  # pyright: ignore[reportArgumentType]
    after = learner.update(state, Context(x), arm, 1 - loss)
    return 1 - learner.predict(state, Context(x)), after.weights


def test_numpy_s_network_takes_the_steps_of_ours():
    network = numpy_neural.Network(np.random.default_rng(0), K, D, M)
    rng = np.random.default_rng(1)
    for arm in range(K):
        x, loss = rng.normal(size=D).astype(np.float32), rng.random()
        losses, after = ours(as_ours(network), x, jnp.int32(arm), jnp.float32(loss))
        np.testing.assert_allclose(network.outputs(x), losses, rtol=1e-5, atol=1e-6)
        network.descend(arm, x, 0.25, lambda z, loss=loss: z - loss)
        pairs = zip(jax.tree.leaves(after), jax.tree.leaves(as_ours(network)), strict=True)
        for expected, found in pairs:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_numpy_s_arms_have_the_chances_of_ours():
    losses = np.random.default_rng(0).uniform(0.1, 0.9, 6).astype(np.float32)
    pairs = (
        (numpy_neural.square_gap, inverse_gap),
        (
            numpy_neural.fast_gap,
            small_loss_inverse_gap,
        ),
    )
    for theirs, ours in pairs:
        expected = ours(jnp.asarray(losses), jnp.float32(20))
        np.testing.assert_allclose(theirs(losses, 20.0), expected, rtol=1e-4, atol=1e-6)


def test_numpy_s_training_ends_early_when_it_fits_and_else_after_all_its_steps():
    rng = np.random.default_rng(0)
    network = numpy_neural.Network(rng, K, D, M)
    x = np.ones(D, np.float32) / 2
    assert numpy_neural.replay(network, [(1, x, 1.0)], rng, 0.1) < 2000
    assert network.outputs(x)[1] == pytest.approx(1, abs=0.1)
    assert numpy_neural.replay(network, [(1, x, 0.0), (1, x, 1.0)], rng, 0.1) == 2000


class Answering:
    """A PyTorch program that takes no time to speak of."""

    def ask(self, request):
        return {"seconds": 0.5 * request["rounds"], "mistakes": 3, "steps": 7 * request["rounds"]}

    def close(self):
        pass


def test_a_small_run_prints_a_table_and_writes_every_measurement(tmp_path, capsys, monkeypatch):
    pytest.importorskip("sklearn")
    compared = {name: contextual.LEARNERS[name] for name in contextual.NUMPY}
    monkeypatch.setattr(contextual, "LEARNERS", compared)  # compiling the others takes long
    monkeypatch.setattr(contextual, "_torch", lambda config: Answering())
    output = tmp_path / "new" / "bench.json"
    result = contextual.run(
        rounds=30, seeds=4, numpy_seeds=4, grid_seeds=2, repeats=1, output=output
    )
    assert result["problems"] == []  # regrets agree
    assert json.loads(output.read_text())["programs"] == result["programs"]
    for row in result["programs"]:
        assert row["ratio"] == pytest.approx(500 / row["cpu_milliseconds"])
    text = capsys.readouterr().out
    assert "500.0 ms a round, 7 steps each" in text
    assert "9 settings of NeuSquareCB x 2 seeds" in text and "LOOK" not in text

    result |= {"torch": {"failure": "no network today"}, "problems": ["too fast"]}
    for row in result["programs"]:
        del row["ratio"]
    text = contextual.as_text(result)
    assert "PyTorch: left out, no network today" in text and "LOOK: too fast" in text


def test_without_an_environment_there_is_no_torch(monkeypatch):
    def offline(*_):
        raise Unavailable("no network today")

    monkeypatch.setattr(contextual, "make_environment", offline)
    with pytest.raises(Unavailable, match="today"):
        contextual._torch(contextual.Config())
    with pytest.raises(Unavailable, match="not asked for"):
        contextual._torch(contextual.Config(torch_rounds=0))


def test_another_program_is_noticed():
    assert contextual._errors_apart([1, 2, 3], [3, 2, 1]) == 0
    assert contextual._errors_apart([10, 11, 12], [1, 2, 3]) > contextual.FAR
    assert contextual._errors_apart([2, 2], [1, 1]) == np.inf


def test_without_the_digits_it_says_what_to_install(capsys, monkeypatch):
    def missing(*_):
        raise contextual.DataSetError("pip install 'regrax[data]'")

    monkeypatch.setattr(contextual, "classification", missing)
    assert contextual.main(contextual.Config()) == 1
    assert "regrax[data]" in capsys.readouterr().err


def test_torch_s_contexts_training_and_rounds():
    torch = pytest.importorskip("torch")
    contexts = torch_neural._contexts(torch.tensor([1.0, 2.0]), 2)
    assert contexts.tolist() == [[1, 2, 0, 0], [0, 0, 1, 2]]
    model = torch.nn.Linear(4, 1)
    assert torch_neural.train(model, [contexts[0]] * 2, [0.0, 1.0], random.Random(0)) == 1000
    model = torch.nn.Linear(4, 1)
    assert torch_neural.train(model, [contexts[0]], [1.0], random.Random(0)) < 1000
    rows = np.eye(4, 2).tolist()
    found = torch_neural.play(rows, [0, 1, 0, 1], 2, history=2, rounds=2, seed=0)
    assert 0 <= found["mistakes"] <= 2 and found["steps"] <= 2000


def test_the_configuration_refuses_nonsense():
    for wrong in ({"repeats": 0}, {"seeds": 1}, {"rounds": 1798}, {"torch_history": 1790}):
        with pytest.raises(ValueError, match="at least"):
            contextual.run(**wrong)
