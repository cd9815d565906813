"""EE-Net and the training of a network again, in plain float64 NumPy and dense vectors."""

import numpy as np


def dense(weights):
    """Layers [(W [out, in], b [out])] over inputs in R^(B d), of the suite's `Weights`."""
    blocks, shared = np.float64(weights.blocks), weights.shared
    first = blocks.transpose(2, 1, 0).reshape(blocks.shape[2], -1)
    layers = [(first, np.float64(shared["layer0"]["bias"]))]
    for depth in range(1, len(shared)):
        layer = shared[f"layer{depth}"]
        layers.append((np.float64(layer["kernel"]).T, np.float64(layer["bias"])))
    return layers


def spread(features, arm, num_arms):
    """The features of an arm in R^(B d): all arms' own [K, d], or in the arm's block [d]."""
    if features.ndim == 2:
        return np.float64(features[arm])
    x = np.zeros((num_arms, len(features)))
    x[arm] = features
    return x.reshape(-1)


def forward(layers, x):
    """The inputs of all layers, and the output."""
    inputs = []
    for depth, (weight, offset) in enumerate(layers):
        inputs.append(x)
        x = weight @ x + offset
        if depth < len(layers) - 1:
            x = np.maximum(x, 0)
    return inputs, x[0]


def gradient(layers, x):
    """Of the output, one array a weight and an offset: [(dW, db)]."""
    inputs, _ = forward(layers, x)
    slope, result = np.ones(1), []
    for (weight, _), before in zip(reversed(layers), reversed(inputs), strict=True):
        result.append((np.outer(slope, before), slope))
        slope = (weight.T @ slope) * (before > 0)
    return result[::-1]


def flat(layers):
    """As torch.cat([p.flatten() for p in network.parameters()])."""
    return np.concatenate([x.reshape(-1) for layer in layers for x in layer])


def means(g, pool):
    length = len(g) // pool + 1
    padded = np.zeros(length * pool)
    padded[: len(g)] = g
    return padded.reshape(length, pool).mean(axis=1)


def fit(layers, xs, ys, steps, rate, tolerance):
    """SGD on (f - y)^2, one row after the other, pass after pass."""
    layers = [(w.copy(), b.copy()) for w, b in layers]
    number = 0
    while True:
        total = 0.0
        for x, y in zip(xs, ys, strict=True):
            error = forward(layers, x)[1] - y
            slopes = gradient(layers, x)
            layers = [
                (w - rate * 2 * error * dw, b - rate * 2 * error * db)
                for (w, b), (dw, db) in zip(layers, slopes, strict=True)
            ]
            total, number = total + error**2, number + 1
            if number == steps:
                return layers
        if total <= tolerance * len(xs):
            return layers


class Exploration:
    """The convolution with its two layers on top; weights in a list of arrays."""

    def __init__(self, params, stride=50):
        layers = params["params"]
        self.stride = stride
        self.weights = [
            np.float64(layers[name][kind]) for name in sorted(layers) for kind in ("bias", "kernel")
        ]

    def output_and_gradient(self, x):
        offset, kernel, hidden_offset, hidden, last_offset, last = self.weights
        size = len(kernel)
        begins = range(0, len(x) - size + 1, self.stride)
        windows = np.stack([x[i : i + size] for i in begins])
        z = windows @ kernel[:, 0, 0] + offset
        h = z @ hidden + hidden_offset
        positive = np.maximum(h, 0)
        output = positive @ last[:, 0] + last_offset[0]
        dh = last[:, 0] * (h > 0)
        dz = hidden @ dh
        slopes = [
            np.array([dz.sum()]), (windows.T @ dz).reshape(kernel.shape), dh, np.outer(z, dh),
            np.ones(1), positive[:, None],
        ]  # fmt: skip
        return output, slopes


class Decider:
    """The two layers of the third network."""

    def __init__(self, params):
        layers = params["params"]
        self.weights = [
            np.float64(layers[name][kind]) for name in sorted(layers) for kind in ("bias", "kernel")
        ]

    def output_and_gradient(self, x):
        hidden_offset, hidden, last_offset, last = self.weights
        h = x @ hidden + hidden_offset
        positive = np.maximum(h, 0)
        dh = last[:, 0] * (h > 0)
        return positive @ last[:, 0] + last_offset[0], [
            dh, np.outer(x, dh), np.ones(1), positive[:, None]
        ]  # fmt: skip


def fit_by_adam(network, xs, ys, steps, rate, decay, tolerance):
    """Adam as PyTorch has it, with decay in the gradient, on (f - y)^2 of one row after the other.
    Changes the network's weights; returns the number of steps."""
    means_, squares = ([np.zeros_like(w) for w in network.weights] for _ in range(2))
    number = 0
    while True:
        total = 0.0
        for x, y in zip(xs, ys, strict=True):
            output, slopes = network.output_and_gradient(x)
            number, total = number + 1, total + (output - y) ** 2
            for i, slope in enumerate(slopes):
                g = 2 * (output - y) * slope + decay * network.weights[i]
                means_[i] = 0.9 * means_[i] + 0.1 * g
                squares[i] = 0.999 * squares[i] + 0.001 * g * g
                size = np.sqrt(squares[i] / (1 - 0.999**number)) + 1e-8
                network.weights[i] = (
                    network.weights[i] - rate * means_[i] / (1 - 0.9**number) / size
                )
            if number == steps:
                return number
        if total <= tolerance * len(xs):
            return number
