"""Linear contextual bandits in plain NumPy, float64: every model is solved anew in every round, and
each formula is as it is written."""

import math

import numpy as np


class Ridge:
    """Models [B], one for each arm (contexts [d]) or one for all (contexts [K, d])."""

    def __init__(self, num_arms, dimension, disjoint, regularisation=1.0, of="rewards"):
        self.num_arms, self.disjoint, self.of = num_arms, disjoint, of
        self.regularisation, models = regularisation, num_arms if disjoint else 1
        self.matrices = [regularisation * np.eye(dimension) for _ in range(models)]
        self.vectors = [np.zeros(dimension) for _ in range(models)]

    def _pairs(self, context):
        for arm in range(self.num_arms):
            yield (arm, context) if self.disjoint else (0, context[arm])

    def predict(self, context):
        values = [
            np.linalg.solve(self.matrices[i], self.vectors[i]) @ x for i, x in self._pairs(context)
        ]
        return np.array(values) if self.of == "rewards" else 1 - np.array(values)

    def squared_widths(self, context):
        pairs = self._pairs(context)
        return np.array([x @ np.linalg.solve(self.matrices[i], x) for i, x in pairs])

    def log_growth(self):
        dimension = len(self.vectors[0])
        determinants = [np.linalg.slogdet(matrix)[1] for matrix in self.matrices]
        return sum(determinants) - len(self.vectors) * dimension * math.log(self.regularisation)

    def learn(self, context, arm, reward):
        i, x = list(self._pairs(context))[arm]
        self.matrices[i] += np.outer(x, x)
        self.vectors[i] += (reward if self.of == "rewards" else 1 - reward) * x


class Logistic(Ridge):
    def __init__(self, num_arms, dimension, disjoint, learning_rate=1.0):
        super().__init__(num_arms, dimension, disjoint)
        self.learning_rate = learning_rate

    def predict(self, context):
        values = [self.vectors[i] @ x for i, x in self._pairs(context)]
        return 1 / (1 + np.exp(-np.array(values)))

    def learn(self, context, arm, reward):
        i, x = list(self._pairs(context))[arm]
        error = reward - self.predict(context)[arm]
        self.vectors[i] += self.learning_rate * error * x


# ---- rules: functions of a model, a context, the round t = 0, 1, ... and an entry of the tape ----


def best(scores):
    """The lowest index of the largest, of numbers that rounding must not tell apart."""
    return int(np.argmax(np.asarray(scores, np.float32)))


def drawn(u, weights):
    sums = np.cumsum(weights)
    return min(int(np.sum(sums <= u * sums[-1])), len(weights) - 1)


def lin_ucb(exploration=1.0, width="sqrt"):
    def rule(model, context, t, tape):
        widths = model.squared_widths(context)
        widths = np.sqrt(widths) if width == "sqrt" else widths
        return best(model.predict(context) + exploration * widths)

    return rule


def oful(noise_scale=1.0, norm=1.0, delta=0.05):
    def rule(model, context, t, tape):
        log_ratio = 0.5 * model.log_growth() + math.log(1 / delta)  # det^(1/2) det^(-1/2) / delta
        beta = noise_scale * math.sqrt(2 * log_ratio) + math.sqrt(model.regularisation) * norm
        return best(model.predict(context) + beta * np.sqrt(model.squared_widths(context)))

    return rule


def lin_ts_of_arms(exploration=0.1):
    """Where every arm has a model of its own."""

    def rule(model, context, t, tape):
        variances = model.regularisation * exploration * model.squared_widths(context)
        return best(model.predict(context) + np.sqrt(variances) * tape)

    return rule


def reg_cb(mode="optimistic", scale=0.1, width=1.0):
    def rule(model, context, t, tape):
        losses = 1 - model.predict(context)
        excess = scale * width**2 * math.log(model.num_arms * max(t, 1))
        widths = np.sqrt(excess * model.squared_widths(context))
        lower, upper = np.clip(losses - widths, 0, 1), np.clip(losses + widths, 0, 1)
        lower, upper = lower.astype(np.float32), upper.astype(np.float32)
        kept = lower <= (lower.min() if mode == "optimistic" else upper.min())
        return drawn(tape, kept.astype(float))

    return rule


def inverse_gap(losses, gamma):
    b, arms = int(np.argmin(losses)), len(losses)
    p = np.array([1 / (arms + gamma * (loss - losses[b])) for loss in losses])
    p[b] = 1 - sum(p[a] for a in range(arms) if a != b)
    return p


def small_loss_inverse_gap(losses, gamma):
    b, arms = int(np.argmin(losses)), len(losses)
    if losses[b] == 0:
        return (losses == 0) / np.sum(losses == 0)
    p = np.array([losses[b] / (arms * losses[b] + gamma * (loss - losses[b])) for loss in losses])
    p[b] = 1 - sum(p[a] for a in range(arms) if a != b)
    return p


def square_cb(scale=10.0, power=0.5, chances=inverse_gap):
    def rule(model, context, t, tape):
        losses = np.asarray(1 - model.predict(context), np.float32).astype(float)
        losses = np.clip(losses, 0, 1) if chances is small_loss_inverse_gap else losses
        return drawn(tape, chances(losses, scale * t**power))

    return rule


def fast_cb(scale=10.0, power=0.5):
    return square_cb(scale, power, small_loss_inverse_gap)


def greedy(epsilon=0.0):
    def rule(model, context, t, tape):
        predictions = model.predict(context)
        if tape[0] < epsilon:
            return min(int(tape[1] * len(predictions)), len(predictions) - 1)
        return best(predictions)

    return rule


def play(rule, model, contexts, rewards, tape):
    """The arms of a game: contexts [T, ...], rewards [T, K], tape [T, ...] or ()."""
    arms = []
    for t, (context, row) in enumerate(zip(contexts, rewards, strict=True)):
        arms.append(rule(model, context, t, () if isinstance(tape, tuple) else tape[t]))
        model.learn(context, arms[-1], row[arms[-1]])
    return np.array(arms)
