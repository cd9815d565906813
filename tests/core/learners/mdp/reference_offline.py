"""Offline and offline-to-online learners, slowly: from histories, with NumPy in float64.

A history is a list of transitions (h, s, a, r, s'). Nothing is shared with the learners.
"""

import itertools

import numpy as np


def history_of(trajectories):
    """Of episodes: states [N, H + 1], actions [N, H], rewards [N, H]."""
    return [
        (h, int(states[h]), int(actions[h]), float(rewards[h]), int(states[h + 1]))
        for states, actions, rewards in zip(*trajectories, strict=True)
        for h in range(len(actions))
    ]


def history_of_counts(visits, rewards):
    """Transitions with the mean reward of their pair."""
    visits, rewards = np.asarray(visits), np.asarray(rewards, float)
    found = []
    for h, s, a, t in np.argwhere(visits):
        mean = rewards[h, s, a] / visits[h, s, a].sum()
        found += [(h, s, a, mean, t)] * int(visits[h, s, a, t])
    return found


def regression(phi, history, stage, ridge, target, weight=lambda h, s, a: 1.0):
    """Lambda and the solution for targets `target(transition)`."""
    d = phi.shape[-1]
    gram, total = ridge * np.eye(d), np.zeros(d)
    for x in history:
        if x[0] == stage:
            f, w = phi[x[1], x[2]], weight(*x[:3])
            gram += w * np.outer(f, f)
            total += w * f * target(x)
    return gram, np.linalg.solve(gram, total)


def width(gram, f):
    return float(np.sqrt(f @ np.linalg.solve(gram, f)))


def value_iteration(phi, history, stages, ridge, bonus, rewards=None, weight=None):
    """Q [H, S, A] with `bonus` times the width added, kept between 0 and the stages left.

    rewards: known ones, [H, S, A], that are added outside of the regression.
    """
    states, actions, _ = phi.shape
    values, after = np.zeros((stages, states, actions)), np.zeros(states)
    options = {} if weight is None else {"weight": weight}
    for h in reversed(range(stages)):

        def target(x, after=after):
            return (x[3] if rewards is None else 0.0) + after[x[4]]

        gram, w = regression(phi, history, h, ridge, target, **options)
        for s, a in itertools.product(range(states), range(actions)):
            known = 0.0 if rewards is None else rewards[h, s, a]
            q = known + phi[s, a] @ w + bonus * width(gram, phi[s, a])
            values[h, s, a] = min(max(q, 0.0), stages - h)
        after = values[h].max(axis=-1)
    return values


def pevi(phi, history, stages, ridge, bonus):
    return value_iteration(phi, history, stages, ridge, -bonus)


def variances(phi, history, stages, ridge, values, margin, least):
    """[H, S, A], by regressions of V^2 and V at the next state."""
    states, actions, _ = phi.shape
    best = np.concatenate([values.max(axis=-1)[1:], np.zeros((1, states))])
    found = np.zeros((stages, states, actions))
    for h in range(stages):
        _, square = regression(phi, history, h, ridge, lambda x, h=h: best[h][x[4]] ** 2)
        _, mean = regression(phi, history, h, ridge, lambda x, h=h: best[h][x[4]])
        for s, a in itertools.product(range(states), range(actions)):
            second = min(max(phi[s, a] @ square, 0), stages**2)
            first = min(max(phi[s, a] @ mean, 0), stages)
            found[h, s, a] = max(least, second - first**2 - margin)
    return found


def pevi_adv(phi, first, second, stages, ridge, bonus, first_bonus, margin, least):
    values = pevi(phi, first, stages, ridge, first_bonus)
    var = variances(phi, first, stages, ridge, values, margin, least)
    return value_iteration(
        phi, second, stages, ridge, -bonus, weight=lambda h, s, a: 1 / var[h, s, a]
    )


def policy_estimates(phi, history, stages, ridge, policies, start):
    """Estimated features [H, P, d], their squared norms [H, P], and values [P]."""
    count, d = len(policies), phi.shape[-1]
    expected, norms, values = np.zeros((stages, count, d)), np.zeros((stages, count)), 0.0
    values = np.zeros(count)
    average = np.einsum("phsa,sad->phsd", policies, phi)
    for p in range(count):
        now = start @ average[p, 0]
        for h in range(stages):
            gram, theta = regression(phi, history, h, ridge, lambda x: x[3])
            expected[h, p], norms[h, p] = now, now @ np.linalg.solve(gram, now)
            values[p] += now @ theta
            if h + 1 < stages:
                following = np.zeros((d, d))
                for x in history:
                    if x[0] == h:
                        following += np.outer(average[p, h + 1, x[4]], phi[x[1], x[2]])
                now = following @ np.linalg.solve(gram, now)
    return expected, norms, values


def occupancies(transitions, start, policies):
    """Of every policy, [P, H, S, A]."""
    found = np.zeros_like(policies, dtype=float)
    for p, policy in enumerate(policies):
        here = np.array(start, float)
        for h in range(policies.shape[1]):
            found[p, h] = here[:, None] * policy[h]
            here = np.einsum("sa,sat->t", found[p, h], transitions[h])
    return found


def every_policy(stages, states, actions):
    """All deterministic ones, [A^(H S), H, S, A]."""
    plans = list(itertools.product(range(actions), repeat=stages * states))
    return np.eye(actions)[np.array(plans).reshape(-1, stages, states)]


def least_norm(transitions, start, phi, targets, prior, episodes):
    """min over mixtures of all deterministic policies of the largest sum over stages of norms, by
    SciPy: minimise z subject to norm_m <= z."""
    from scipy.optimize import minimize

    stages, states, actions = transitions.shape[:3]
    visits = occupancies(transitions, start, every_policy(stages, states, actions))
    visits = np.unique(np.round(visits, 12), axis=0)
    grams = np.einsum("phsa,sai,saj->phij", visits, phi, phi)
    count = len(grams)

    def inverses(x):
        return np.linalg.inv(episodes * np.einsum("p,phij->hij", x, grams) + prior)

    def norms(x):
        return np.einsum("hmi,hij,hmj->m", targets, inverses(x[:-1]), targets)

    def slopes(x):
        images = np.einsum("hij,hmj->hmi", inverses(x[:-1]), targets)
        return -episodes * np.einsum("hmi,phij,hmj->mp", images, grams, images)

    even = np.full(count, 1 / count)
    best = minimize(
        lambda x: x[-1],
        np.append(even, norms(np.append(even, 0)).max()),
        jac=lambda x: np.eye(count + 1)[-1],
        bounds=[(0, 1)] * count + [(0, None)],
        constraints=[
            {
                "type": "ineq",
                "fun": lambda x: x[-1] - norms(x),
                "jac": lambda x: np.column_stack([-slopes(x), np.ones(targets.shape[1])]),
            },
            {
                "type": "eq",
                "fun": lambda x: x[:-1].sum() - 1,
                "jac": lambda x: np.append(np.ones(count), 0),
            },
        ],
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-12},
    )
    assert best.success, best.message
    return float(norms(best.x).max())
