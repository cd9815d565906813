"""Attention of one query over its keys in float64, position after position."""

import numpy as np

AXES = {"BSHD": (0, 1, 2, 3), "BHSD": (0, 2, 1, 3), "BHDS": (0, 3, 1, 2)}  # of "BSHD" in each


def to_layout(x, layout):
    """[B, S, H, D] into a layout."""
    return np.ascontiguousarray(np.transpose(x, np.argsort(AXES[layout])))


def from_layout(x, layout):
    return np.transpose(x, AXES[layout])


def attend(q, keys, values, scale, soft_cap=None):
    """(m, l, o) of one query [D] over keys and values [n, D]."""
    if not len(keys):
        return -np.inf, 0.0, np.zeros_like(q, float)
    z = np.array([scale * float(np.dot(q.astype(float), key.astype(float))) for key in keys])
    z = z if soft_cap is None else soft_cap * np.tanh(z / soft_cap)
    weights = np.exp(z - z.max())
    return z.max(), weights.sum(), weights @ values.astype(float)


def decode(q, k, v, lengths, starts=None, scale=None, soft_cap=None, window=None):
    """(m [B, Hq], l, o [B, Hq, D]) of q [B, Hq, D] over k, v [B, S, H, D]."""
    batch, heads, features = q.shape
    scale = features**-0.5 if scale is None else scale
    m, l, o = np.empty((batch, heads)), np.empty((batch, heads)), np.empty(q.shape)  # noqa: E741
    for b in range(batch):
        stop = min(int(lengths[b]), k.shape[1])
        start = 0 if starts is None else int(starts[b])
        start = start if window is None else max(start, stop - window)
        for h in range(heads):
            of = h // (heads // k.shape[2])
            part = slice(start, max(start, stop))
            found = attend(q[b, h], k[b, part, of], v[b, part, of], scale, soft_cap)
            m[b, h], l[b, h], o[b, h] = found
    return m, l, o


def output(partials):
    _, l, o = partials  # noqa: E741
    return o / np.where(l > 0, l, 1)[..., None]


def prefill(q, k, v, sees, scale=None, soft_cap=None):
    """[B, T, Hq, D] of q [B, T, Hq, D]; sees(b, t, s) says whether query t sees key s."""
    batch, length, heads, features = q.shape
    scale = features**-0.5 if scale is None else scale
    found = np.zeros(q.shape)
    for b in range(batch):
        for t in range(length):
            rows = np.array([sees(b, t, s) for s in range(k.shape[1])])
            for h in range(heads):
                of = h // (heads // k.shape[2])
                _, l, o = attend(  # noqa: E741
                    q[b, t, h], k[b, rows, of], v[b, rows, of], scale, soft_cap
                )
                found[b, t, h] = o / l if l else 0
    return found
