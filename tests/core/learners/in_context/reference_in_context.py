"""Transformers and gradient descent in NumPy, float64: token by token, round by round."""

import numpy as np


def attention_layer(tokens, reader, query, key, value, projection):
    """All tokens and a reader after a layer of linear attention over the tokens."""

    def moved(e):
        total = np.zeros(len(e))
        for other in tokens:
            total += (value @ other) * float((key @ other) @ (query @ e))
        return e + projection @ total

    return np.array([moved(e) for e in tokens]), moved(reader)


def descend(features, labels, rates, start=None):
    """w after steps on 1 / (2N) sum (w.x - y)^2."""
    w = np.zeros(features.shape[1]) if start is None else np.array(start, float)
    for rate in rates:
        w = w - rate * features.T @ (features @ w - labels) / len(labels)
    return w


def forecasts(features, labels, rate, layers, offset, causal):
    """Of `InContext`, for every round, token by token from the history alone."""
    xs, found = features.astype(float), []
    for t in range(len(labels)):
        values = [labels[:t].astype(float)]  # of each layer
        for _ in range(layers - 1):
            values.append(next_values(xs[:t], values[-1], rate, offset, causal))
        left = 0.0
        for row in values:
            left -= rate / (max(t, 1) + offset) * float(row @ (xs[:t] @ xs[t]))
        found.append(-left)
    return np.array(found)


def next_values(xs, values, rate, offset, causal):
    """What the layer above finds: each example has read all, or those up to itself."""
    found = np.zeros(len(values))
    for i in range(len(values)):
        seen = i + 1 if causal else len(values)
        scores = xs[:seen] @ xs[i]
        found[i] = values[i] - rate / (seen + offset) * float(values[:seen] @ scores)
    return found


def softmax_forecasts(features, labels, rate, sharpness, offset):
    """Of `InContextSoftmax`, for every round."""
    found = []
    for t in range(len(labels)):
        if not t:
            found.append(0.0)
            continue
        scores = features[:t].astype(float) @ features[t].astype(float)
        heads = []
        for sign in (1, -1):
            weights = np.exp(sign * sharpness * (scores - np.max(sign * scores) * sign))
            heads.append(weights @ labels[:t] / weights.sum())
        found.append(rate / (2 * sharpness) * t / (t + offset) * (heads[0] - heads[1]))
    return np.array(found)
