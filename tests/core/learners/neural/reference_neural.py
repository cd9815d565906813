"""Neural learners by the book: dense networks on vectors of R^(K d) in float64 NumPy, one round at
a time. And problems to play: tables of contexts and rewards."""

from types import SimpleNamespace

import jax
import numpy as np

from regrax.core import noise
from regrax.core.compiled import jit
from regrax.core.protocol import BanditFeedback, Context, complete

KEY = noise.root(3)
K, D = 3, 5
HALF_ULP = 2.0**-24  # relative error of one rounding to float32


# ---- problems ------------------------------------------------------------------------------


def table(rounds, disjoint, seed=0):
    """Contexts [T, d] or [T, K, d] of length 1, and rewards [T, K] in [0, 1]."""
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(rounds, D) if disjoint else (rounds, K, D))
    contexts /= np.linalg.norm(contexts, axis=-1, keepdims=True)
    directions = rng.normal(size=(K, D)) / np.sqrt(D)
    means = 0.5 + 0.4 * np.tanh(2 * contexts @ (directions.T if disjoint else directions[0]))
    rewards = np.clip(means + 0.05 * rng.normal(size=(rounds, K)), 0, 1)
    return contexts.astype(np.float32), rewards.astype(np.float32)


def fitted(learner, disjoint, horizon=1000):
    env = SimpleNamespace(num_arms=K, dimension=D, disjoint=disjoint)
    return complete(learner, env, horizon)


@jit
def play(learner, contexts, rewards):
    """The arms [T], the tape, and the states before each round and after the last, [T + 1, ...]."""
    tape = learner.noise(noise.stream(KEY, "tape"), len(contexts))
    start = learner.init(KEY)

    def one(state, row):
        context, reward, entry = row
        arm = learner.act(state, Context(context), entry)
        after = learner.update(state, Context(context), arm, BanditFeedback(reward[arm]))
        return after, (arm, after)

    _, (arms, states) = jax.lax.scan(one, start, (contexts, rewards, tape))
    states = jax.tree.map(lambda a, b: jax.numpy.concatenate([a[None], b]), start, states)
    return arms, tape, states


def at(states, t):
    return jax.tree.map(lambda x: x[t], states)


def inputs(context):
    """What a dense network is shown of every arm: [K, K d], the features in the arm's block and
    zeros elsewhere; or [K, d] as it is."""
    context = np.asarray(context, float)
    return np.kron(np.eye(K), context[None]) if context.ndim == 1 else context


# ---- networks ------------------------------------------------------------------------------


def layers(weights):
    """Weights and offsets of every layer of the dense network, float64, first to last."""
    blocks = np.asarray(weights.blocks, float)  # [d, B, m]
    first = np.concatenate([blocks[:, b] for b in range(blocks.shape[1])])  # [B d, m]
    result = [[first, np.asarray(weights.shared["layer0"]["bias"], float)]]
    for depth in range(1, len(weights.shared)):
        layer = weights.shared[f"layer{depth}"]
        result.append([np.asarray(layer["kernel"], float), np.asarray(layer["bias"], float)])
    return result


def flat(network):
    return np.concatenate([part.ravel() for layer in network for part in layer])


def unflat(vector, like):
    result, position = [], 0
    for layer in like:
        result.append([])
        for part in layer:
            result[-1].append(vector[position : position + part.size].reshape(part.shape))
            position += part.size
    return result


def output(network, x):
    return forward(network, x)[-1][0]


def forward(network, x):
    """What comes out of every layer, the input first."""
    seen = [x]
    for depth, (weights, offsets) in enumerate(network):
        x = x @ weights + offsets
        x = np.maximum(x, 0) if depth < len(network) - 1 else x
        seen.append(x)
    return seen


def gradient(network, x):
    """Of the output in all weights, by going backwards: as `flat`."""
    seen = forward(network, x)
    slope, result = np.ones(1), []
    for depth in range(len(network) - 1, -1, -1):
        result.append([np.outer(seen[depth], slope), slope])
        slope = (network[depth][0] @ slope) * (seen[depth] > 0)
    return flat(result[::-1])


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss(kind, z, y):
    """Half the square; or the divergence of sigmoid(z) from y, by its definition."""
    if kind == "square":
        return (z - y) ** 2 / 2
    q = sigmoid(z)
    return sum(a * np.log(a / b) for a, b in ((y, q), (1 - y, 1 - q)) if a > 0)


def slope(kind, z, y):
    return (z if kind == "square" else sigmoid(z)) - y


# ---- replay --------------------------------------------------------------------------------


class Replay:
    """The training of the EE-Net code, and with a weight decay that of the NeuralUCB code."""

    def __init__(self, learner, network):
        self.network, self.shapes = flat(network), network
        self.kind, self.steps = learner.loss, learner.steps
        self.turn, self.early, self.late = learner.turn, learner.early, learner.late
        self.rate, self.tolerance, self.decay = (
            float(np.float32(x)) for x in (learner.learning_rate, learner.tolerance,
                                           learner.weight_decay or 0)
        )  # fmt: skip
        self.rows, self.order, self.trainings = [], [], []  # of trainings: round, steps, early stop

    def learn(self, x, y, words):
        """The end of a round: `words(n)` are the random words of a training after n rounds."""
        t = len(self.rows)
        self.rows.append((x, y))
        self.order.append(t)
        if t % (self.early if t < self.turn else self.late) == 0:
            self.train(words(t + 1))

    def train(self, words):
        shuffle(self.order, words)
        taken = 0
        while True:
            total = 0.0
            for row in self.order:
                x, y = self.rows[row]
                network = unflat(self.network, self.shapes)
                z = output(network, x)
                half = 1 if self.kind == "square" else 0.5  # (z - y)^2 has no half
                total += 2 * half * loss(self.kind, z, y)
                step = 2 * half * slope(self.kind, z, y) * gradient(network, x)
                self.network = self.network - self.rate * (step + self.decay * self.network)
                taken += 1
                if taken == self.steps:
                    return self.trainings.append((len(self.rows) - 1, taken, False))
            if total / len(self.rows) <= self.tolerance:
                return self.trainings.append((len(self.rows) - 1, taken, True))


def shuffle(order, words):
    """In place: each place in turn is drawn from those that are left, as far as there are words."""
    for place in range(min(len(order), len(words))):
        other = place + int(words[place]) % (len(order) - place)
        order[place], order[other] = order[other], order[place]


# ---- online --------------------------------------------------------------------------------


class Online:
    """One projected step a round, on a loss that is averaged over signs [S, p]."""

    def __init__(self, learner, network, strength):
        self.learner, self.shapes = learner, network
        self.network, self.start, self.rounds = flat(network), flat(network), 0
        self.strength = strength * network[-1][0].size ** -0.25  # c m^(-1/4)

    def outputs(self, x, signs):
        """Perturbed, one for each row of signs."""
        plain = output(unflat(self.network, self.shapes), x)
        return plain + self.strength * signs @ (self.network - self.start)

    def learn(self, x, y, signs):
        learner, kind = self.learner, self.learner.loss
        rate, self.rounds = float(np.float32(learner.learning_rate)), self.rounds + 1
        if learner.curvature is not None:
            rate = min(rate, 4 / (float(np.float32(learner.curvature)) * self.rounds))
        plain = gradient(unflat(self.network, self.shapes), x)
        if learner.perturbation == "sampled":
            errors = slope(kind, self.outputs(x, signs), y)
            steps = errors[:, None] * (plain + self.strength * signs)
            step = steps.mean(axis=0)
        else:
            z = output(unflat(self.network, self.shapes), x)
            step = slope(kind, z, y) * plain
            if learner.perturbation == "expected":
                modulus = self.strength**2
                modulus *= sigmoid(z) * (1 - sigmoid(z)) if kind == "kl" else 1
                step = step + modulus * (self.network - self.start)
        self.network = self.project(self.network - rate * step)

    def project(self, vector):
        network, start = unflat(vector, self.shapes), unflat(self.start, self.shapes)
        for depth, (layer, first) in enumerate(zip(network, start, strict=True)):
            last = depth == len(network) - 1
            radius = self.learner.output_radius if last else self.learner.radius
            if radius is not None:
                away = layer[0] - first[0]
                shrink = min(1, radius / max(np.linalg.norm(away), 1e-300))
                layer[0] = first[0] + shrink * away
        return flat(network)


# ---- confidence ----------------------------------------------------------------------------


class Confidence:
    """U of NeuralUCB and NeuralTS, whole or its diagonal."""

    def __init__(self, size, regularisation, exploration, full):
        self.factor, self.full = regularisation * exploration, full
        self.matrix = regularisation * (np.eye(size) if full else np.ones(size))

    def squared_widths(self, slopes):
        """Of gradients [K, p]."""
        images = np.linalg.solve(self.matrix, slopes.T).T if self.full else slopes / self.matrix
        return self.factor * np.sum(slopes * images, axis=1)

    def learn(self, g):
        self.matrix = self.matrix + (np.outer(g, g) if self.full else g * g)
