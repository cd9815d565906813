"""The softmax family in plain float64 NumPy, row by row, as one would write it on paper."""

import numpy as np


def rows_of(x, where, scale, of_row):
    """of_row(logits that count [k]) -> a number, for every row of x [R, n]."""
    x = np.asarray(x, np.float64)
    where = np.broadcast_to(True if where is None else where, x.shape)
    scale = np.broadcast_to(1.0 if scale is None else scale, (len(x), 1))[:, 0]
    found = []
    for row, counts, c in zip(x, where, scale, strict=True):
        counts = counts & (row != -np.inf)
        found.append(of_row(row, counts, c))
    return np.array(found)


def softmax(x, where=None, scale=None):
    def of_row(row, counts, c):
        y = np.zeros(row.shape)
        if counts.any():
            top = row[counts].max() if c >= 0 else row[counts].min()
            weights = np.exp(c * (row[counts] - top))
            y[counts] = weights / weights.sum()
        return y

    return rows_of(x, where, scale, of_row)


def logsumexp(x, where=None, scale=None):
    def of_row(row, counts, c):
        if not counts.any():
            return -np.inf
        top = row[counts].max() if c >= 0 else row[counts].min()
        return c * top + np.log(np.exp(c * (row[counts] - top)).sum())

    return rows_of(x, where, scale, of_row)


def log_softmax(x, where=None, scale=None):
    def of_row(row, counts, c):
        y = np.full(row.shape, -np.inf)
        if counts.any():
            top = row[counts].max() if c >= 0 else row[counts].min()
            gaps = c * (row[counts] - top)
            y[counts] = gaps - np.log(np.exp(gaps).sum())
        return y

    return rows_of(x, where, scale, of_row)


def cross_entropy(logits, labels, where=None):
    """Losses [R] and the gradient of their sum [R, C]."""
    shares, losses = softmax(logits, where), -log_softmax(logits, where)
    index = np.arange(len(labels)), np.asarray(labels)
    slopes = shares.copy()
    slopes[index] -= 1
    if where is not None:
        counts = np.broadcast_to(where, losses.shape)[index]
        return np.where(counts, losses[index], 0), np.where(counts[:, None], slopes, 0)
    return losses[index], slopes
