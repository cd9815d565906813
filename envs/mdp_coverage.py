"""What offline data cover of a finite MDP: exact coefficients, in float64 and NumPy.

Shapes are H stages, S states, A actions. Data are the chances mu [H, S, A] of their pairs (s, a) at
every stage, as `distribution()` of offline data gives them, and policies are their visits, as
`mdp_values.occupancy` gives them. A coefficient is infinite where data miss what it asks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.optimize
import scipy.sparse

from .mdp_values import reachability

_RANK = 1e-10  # eigenvalues below this share of the largest count as 0


def exact_tables(env: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Transitions [H, S, A, S], mean rewards [H, S, A] and start [S] of a `LinearMDP` in float64:
    its attributes of these names are float32."""
    features, start = np.asarray(env.features, np.float64), np.asarray(env.start, np.float64)
    moves = np.einsum("sad,hdt->hsat", features, np.asarray(env.measures, np.float64))
    moves = np.maximum(moves, 0)
    rewards = np.einsum("sad,hd->hsa", features, np.asarray(env.weights, np.float64))
    return moves / moves.sum(axis=-1, keepdims=True), rewards, start / start.sum()


# ---- over states and actions ---------------------------------------------------------------


def concentrability(visits: np.ndarray, data: np.ndarray) -> float:
    """Of a policy: max over h, s, a of d_h(s, a) / mu_h(s, a)."""
    return float(_ratios(visits, data).max())


def clipped_concentrability(visits: np.ndarray, data: np.ndarray, clip: float) -> np.ndarray:
    """E_d[min(d / mu, clip)] of every stage, [H]: finite whatever data miss, at most `clip`, as
    hybrid learners need it (Amortila et al., "Harnessing density ratios for online reinforcement
    learning", ICLR 2024)."""
    clipped = np.minimum(_ratios(visits, data), clip)
    return np.sum((visits * clipped).reshape(len(visits), -1), axis=-1)


def all_policy_concentrability(transitions: Any, start: Any, data: np.ndarray) -> float:
    """The largest concentrability of any policy."""
    reached = reachability(transitions, start)[..., None]
    return float(_ratios(np.broadcast_to(reached, data.shape), data).max())


def _ratios(visits, data):
    """visits / data, 0 where nothing is visited."""
    visits, data = np.asarray(visits, np.float64), np.asarray(data, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(visits > 0, visits / data, 0.0)


# ---- over features -------------------------------------------------------------------------


def second_moments(features: Any, data: np.ndarray) -> np.ndarray:
    """E_mu[phi phi^T] of every stage, [H, d, d]."""
    features = np.asarray(features, np.float64)
    return np.einsum("hsa,sad,sae->hde", np.asarray(data, np.float64), features, features)


def least_eigenvalues(features: Any, data: np.ndarray) -> np.ndarray:
    """The least eigenvalue of E_mu[phi phi^T] of every stage, [H]; zero or more."""
    return np.maximum(np.linalg.eigvalsh(second_moments(features, data))[:, 0], 0)


def feature_coverage(features: Any, visits: np.ndarray, data: np.ndarray) -> np.ndarray:
    """sup over w of E_d[(phi^T w)^2] / E_mu[(phi^T w)^2] of every stage, [H].

    At most the concentrability of the same policy, and finite where that is not if features of
    missing pairs lie in the span of others.
    """
    moments = (second_moments(features, x) for x in (visits, data))
    return np.array([_largest_ratio(*pair) for pair in zip(*moments, strict=True)])


def _largest_ratio(above: np.ndarray, below: np.ndarray) -> float:
    """sup of w^T above w / w^T below w over all w for which not both are 0."""
    sizes, vectors = np.linalg.eigh(below)
    seen = sizes > _RANK * max(sizes[-1], np.trace(above))
    missed = vectors[:, ~seen]
    if np.trace(missed.T @ above @ missed) > _RANK * np.trace(above):
        return np.inf
    whitened = vectors[:, seen] / np.sqrt(sizes[seen])
    return float(np.linalg.eigvalsh(whitened.T @ above @ whitened)[-1])


def partial_coverage(features: Any, data: np.ndarray, part: Any = None) -> float:
    """c_off(X): max over h of 1 / (least eigenvalue of E_mu[phi phi^T] on the span of X).

    X are the pairs (s, a) that data are to answer for, and a learner finds out about the others
    itself: Tan, Fan and Wei, "Hybrid reinforcement learning breaks sample size barriers in linear
    MDPs", NeurIPS 2024. With features of length 1 at most it is no less than the dimension of the
    span.

    Args:
      part: X, bool [S, A] or [H, S, A]; all pairs that data have when left out.

    Raises:
      ValueError: X of another shape, or empty at some stage.
    """
    bases = _bases(features, data > 0 if part is None else part, data.shape)
    least = [
        np.linalg.eigvalsh(basis.T @ moment @ basis)[0]
        for basis, moment in zip(bases, second_moments(features, data), strict=True)
    ]
    return _inverse(min(least))


class Bracket(NamedTuple):
    low: float
    high: float


def best_partial_coverage(
    features: Any,
    transitions: Any,
    start: Any,
    part: Any,
    tolerance: float = 1e-3,
    most_rounds: int = 100,
) -> Bracket:
    """c_on(X): the least `partial_coverage` of X that data of a policy can have.

    The best over all Markov policies, randomised ones included: as least eigenvalues are concave in
    the visits, it is a linear programme over these with a cut for each direction in which a
    stage was found wanting (Kelley's cutting planes). For small problems: a programme has H S A
    variables, and some ten of them are solved, or tens.

    Args:
      part: X, bool [S, A] or [H, S, A].
      tolerance: high / low - 1 at which to stop.
      most_rounds: programmes after which to stop anyhow.

    Returns:
      two numbers between which the coefficient lies.

    Raises:
      ValueError: as `partial_coverage`.
    """
    moves, features = np.asarray(transitions, np.float64), np.asarray(features, np.float64)
    shape = moves.shape[:3]
    bases = _bases(features, part, shape)
    reached = np.broadcast_to(reachability(moves, start)[..., None], shape)
    if partial_coverage(features, reached, part) == np.inf:
        return Bracket(np.inf, np.inf)
    flow, amounts = _flow(moves, start)
    cuts = [(h, column) for h, basis in enumerate(bases) for column in basis.T]
    least, best, upper = 0.0, None, np.inf
    for _ in range(most_rounds):
        visits, upper = _programme(features, flow, amounts, cuts, shape)
        for candidate in (visits, visits if best is None else (visits + best) / 2):
            values = []
            for h, moment in enumerate(second_moments(features, candidate)):
                sizes, vectors = np.linalg.eigh(bases[h].T @ moment @ bases[h])
                cuts += [(h, column) for column in (bases[h] @ vectors[:, sizes < upper]).T]
                values.append(sizes[0])
            if min(values) > least:
                least, best = min(values), candidate
        if upper <= least * (1 + tolerance):
            break
    return Bracket(_inverse(upper), _inverse(least))


def _programme(features, flow, amounts, cuts, shape):
    """The visits that maximise the least second moment over the cuts, and that moment."""
    pairs = np.prod(shape[1:])
    stages = np.array([h for h, _ in cuts])
    squares = (features.reshape(pairs, -1) @ np.array([v for _, v in cuts]).T) ** 2
    columns = stages[:, None] * pairs + np.arange(pairs)
    rows = np.repeat(np.arange(len(cuts)), pairs)
    size = shape[0] * pairs
    moments = scipy.sparse.csr_array(
        (squares.T.ravel(), (rows, columns.ravel())), (len(cuts), size)
    )
    ones = np.ones((len(cuts), 1))
    solution = scipy.optimize.linprog(
        np.append(np.zeros(size), -1.0),
        A_ub=scipy.sparse.hstack([-moments, ones]),
        b_ub=np.zeros(len(cuts)),
        A_eq=scipy.sparse.hstack([flow, scipy.sparse.csr_array((len(amounts), 1))]),
        b_eq=amounts,
        method="highs",
    )
    if not solution.success:
        raise RuntimeError(f"the linear programme of best_partial_coverage: {solution.message}")
    return np.maximum(solution.x[:-1], 0).reshape(shape), max(-solution.fun, 0.0)


def _flow(moves: np.ndarray, start: Any) -> tuple[scipy.sparse.csr_array, np.ndarray]:
    """What visits [H S A] satisfy: at every stage and state as much leaves as came in."""
    stages, states, actions, _ = moves.shape
    leaves = np.kron(np.eye(states), np.ones(actions))
    blocks: list[list[Any]] = [[None] * stages for _ in range(stages)]
    for h in range(stages):
        blocks[h][h] = scipy.sparse.csr_array(leaves)
        if h:
            blocks[h][h - 1] = scipy.sparse.csr_array(-moves[h - 1].reshape(-1, states).T)
    amounts = np.zeros((stages, states))
    amounts[0] = start
    return scipy.sparse.csr_array(scipy.sparse.block_array(blocks)), amounts.ravel()


def _bases(features: Any, part: Any, shape: tuple[int, ...]) -> list[np.ndarray]:
    """Orthonormal bases [d, rank] of the spans of the features of X, one a stage."""
    chosen, features = np.asarray(part), np.asarray(features, np.float64)
    if chosen.dtype != bool or chosen.shape not in (shape, shape[1:]):
        raise ValueError(
            f"a part of the pairs is bool {list(shape[1:])} or {list(shape)}, got {chosen.dtype} "
            f"{list(chosen.shape)}"
        )
    bases = []
    for h, here in enumerate(np.broadcast_to(chosen, shape)):
        _, sizes, rows = np.linalg.svd(features[here], full_matrices=False)
        rank = np.sum(sizes**2 > _RANK * np.max(sizes**2, initial=0))
        if not rank:
            raise ValueError(f"a part of the pairs has one of features not 0, none at stage {h}")
        bases.append(rows[:rank].T)
    return bases


def _inverse(value: float) -> float:
    return float(1 / value) if value > _RANK else np.inf


# ---- of the model --------------------------------------------------------------------------


def rank_bound(transitions: Any) -> float:
    """A bound from below on the dimension of any linear features: max over h of S_h / U_h.

    S_h states can come next after stage h, and U_h of them at most after one state and action: d
    rows that span all others have d U_h states between them. Lee and Oh, "Demystifying linear MDPs
    and novel dynamics aggregation framework", ICLR 2024, who count U over the actions of a state
    together: not more than this.
    """
    moves = np.asarray(transitions) > 1e-12
    reached = moves.any(axis=(1, 2)).sum(axis=-1)
    return float(np.max(reached / moves.sum(axis=-1).max(axis=(1, 2))))
