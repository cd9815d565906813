"""Verifiers of drafts in NumPy, float64, draft by draft; laws by going through all drafts."""

import itertools

import numpy as np
from scipy.optimize import linprog


def left_of(p, r):
    left = np.maximum(p - r, 0)
    return left if left.sum() > 0 else p


def draw(u, weights):
    """The first index whose running sum passes u times the total."""
    sums = np.cumsum(weights)
    return min(int(np.sum(sums <= u * sums[-1])), len(weights) - 1)


def rho_of(p, q, k):
    low, high = 1.0, float(k)
    for _ in range(100):
        rho = (low + high) / 2
        beta = np.minimum(q, p / rho).sum()
        if 1 - (1 - min(beta, 1)) ** k <= rho * beta:
            high = rho
        else:
            low = rho
    return high


def kseq_parts(p, q, k):
    """Chances to take each token when it comes up, and the law where none is taken."""
    rho = rho_of(p, q, k)
    common = np.minimum(q, p / rho)
    beta = min(common.sum(), 1)
    some = 1 - (1 - beta) ** k
    take = np.where(q > 0, np.minimum(1, p / (rho * np.where(q > 0, q, 1))), 0)
    return take, left_of(p, common * some / beta if beta > 0 else 0 * p)


def kseq(p, q, drafts, uniforms):
    take, left = kseq_parts(p, q, len(drafts))
    for i, x in enumerate(drafts):
        if uniforms[i] < take[x]:
            return int(x), i
    return draw(uniforms[-1], left), -1


def kseq_law(p, q, k):
    """The law of the token, and the chance that it is a draft, over all drafts."""
    take, left = kseq_parts(p, q, k)
    law, taken = np.zeros(len(p)), 0.0
    for drafts in itertools.product(range(len(p)), repeat=k):
        chance = np.prod(q[list(drafts)])
        for x in drafts:
            law[x] += chance * take[x]
            taken += chance * take[x]
            chance *= 1 - take[x]
        law += chance * left / left.sum()
    return law, taken


def greedy_parts(p, q, n):
    """The fixed drafts, the law of the last one, its chances to be taken, the law if it is not."""
    top = np.argsort(-q, kind="stable")[: n - 1]
    rest = q.copy()
    rest[top] = 0
    if rest.sum() == 0:
        rest = np.ones(len(q))
        rest[top] = 0
    rest = rest / rest.sum()
    take = np.where(rest > 0, np.minimum(1, p / np.where(rest > 0, rest, 1)), 0)
    left = left_of(p, rest)
    left[top] = p[top]
    return top, rest, take, left


def greedy(p, q, drafts, uniforms):
    top, _, take, left = greedy_parts(p, q, len(drafts))
    if uniforms[0] < take[drafts[-1]]:
        return int(drafts[-1]), len(drafts) - 1
    token = draw(uniforms[1], left)
    return token, list(top).index(token) if token in top else -1


def greedy_law(p, q, n):
    top, rest, take, left = greedy_parts(p, q, n)
    law = rest * take
    taken = law.sum()
    again = (1 - taken) * left / left.sum()
    return law + again, taken + again[top].sum()


def draft_law(q, n, how):
    """{drafts: chance}, of all n-tuples that can come up."""
    if how == "greedy":
        top, rest, _, _ = greedy_parts(q, q, n)
        return {(*top, x): rest[x] for x in range(len(q)) if rest[x] > 0}
    law = {}
    for drafts in itertools.product(range(len(q)), repeat=n):
        chance, left = 1.0, 1.0
        for i, x in enumerate(drafts):
            seen = how == "without" and x in drafts[:i]
            chance *= 0 if seen else q[x] / left
            left -= q[x] if how == "without" else 0
        if chance > 0:
            law[drafts] = chance
    return law


def optimum(p, q, n, how):
    """The best verifier, as a linear program: masses on (drafts, token) with these marginals, as
    much as can be where the token is one of the drafts."""
    law, size = draft_law(q, n, how), len(p)
    gain = np.array([[-float(x in drafts) for x in range(size)] for drafts in law])
    rows = np.kron(np.eye(len(law)), np.ones(size))
    columns = np.kron(np.ones(len(law)), np.eye(size))
    found = linprog(
        gain.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.append(list(law.values()), p),
        method="highs",
    )  # fmt: skip
    assert found.status == 0, found.message
    return -found.fun
