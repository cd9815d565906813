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


def forecasts(features, labels, rates, curvatures, offset, causal):
    """Of `InContext`, for every round, from the history alone."""
    found = []
    for t in range(len(labels)):
        xs, left = features[:t].astype(float), labels[:t].astype(float)
        x, y = features[t].astype(float), 0.0
        count = max(t, 1) + offset
        tokens = [(xs, left)]
        if causal:
            tokens = causal_tokens(xs, left, rates, curvatures, offset)
        for i, (rate, curvature) in enumerate(zip(rates, curvatures, strict=True)):
            xs, left = tokens[i]
            turned = x - curvature / count * xs.T @ (xs @ x)
            y = y - rate / count * float(left @ (xs @ x))
            x = turned
            if not causal:
                new = xs - curvature / count * xs @ (xs.T @ xs)
                tokens.append((new, left - rate / count * xs @ (xs.T @ left)))
        found.append(-y)
    return np.array(found)


def causal_tokens(features, labels, rates, curvatures, offset):
    """What each layer keeps of the examples: each has read those up to itself."""
    layers = [(features, labels)]
    for rate, curvature in zip(rates, curvatures, strict=True):
        xs, left = layers[-1]
        new_xs, new_left = np.zeros_like(xs), np.zeros_like(left)
        for i in range(len(left)):
            seen, rest, count = xs[: i + 1], left[: i + 1], i + 1 + offset
            new_xs[i] = xs[i] - curvature / count * seen.T @ (seen @ xs[i])
            new_left[i] = left[i] - rate / count * float(rest @ (seen @ xs[i]))
        layers.append((new_xs, new_left))
    return layers


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
