"""LSVI-UCB++ and HYRULE in plain NumPy, float64: a class that remembers every transition, and as
many lines as the algorithm has."""

import math

import numpy as np

from .histories import tuples


def radii(d, H, K, delta, ridge):
    L = math.log(d * H * K / (delta * ridge))
    beta = H * math.sqrt(d * ridge) + math.sqrt(d) * L
    beta_bar = H * math.sqrt(d * ridge) + math.sqrt(d**3) * H * L
    beta_tilde = H**2 * math.sqrt(d * ridge) + math.sqrt(d**3) * H**2 * L
    return beta, beta_bar, beta_tilde


class PlusPlus:
    """`play` an episode: Q, Q' and the number of switches are attributes before each."""

    def __init__(self, features, rewards, K, c, v, delta=0.01, ridge=None, offline=()):
        self.features, self.rewards = np.asarray(features, float), np.asarray(rewards, float)
        self.H, self.S, self.A = self.rewards.shape
        self.d = self.features.shape[-1]
        self.ridge = 1 / self.H**2 if ridge is None else ridge
        self.v = v
        self.beta, self.beta_bar, self.beta_tilde = (
            c * x for x in radii(self.d, self.H, K, delta, self.ridge)
        )
        self.reset()
        if len(offline):
            for h, data in enumerate(offline):
                self.memory[h] = [(s, a, after, 1 / self.H**2) for s, a, _, after in data]
            self.plan_if_doubled()
            weights = [
                [self.weight(h, s, a) for s, a, _, _ in m] for h, m in enumerate(self.memory)
            ]
            memory = self.memory
            self.reset()
            for h, (old, new) in enumerate(zip(memory, weights, strict=True)):
                self.memory[h] = [(*x[:3], w) for x, w in zip(old, new, strict=True)]
        self.plan_if_doubled()

    def reset(self):
        self.memory = [[] for _ in range(self.H)]
        self.Q = np.full((self.H, self.S, self.A), float(self.H))
        self.Q_check = np.zeros((self.H, self.S, self.A))
        self.last = [np.linalg.slogdet(self.ridge * np.eye(self.d))[1]] * self.H
        self.switches = 0

    def sigma_matrix(self, h):
        matrix = self.ridge * np.eye(self.d)
        for s, a, _, weight in self.memory[h]:
            matrix += weight * np.outer(self.features[s, a], self.features[s, a])
        return matrix

    def regress(self, h, values):
        target = np.zeros(self.d)
        for s, a, after, weight in self.memory[h]:
            target += weight * self.features[s, a] * values[after]
        return np.linalg.solve(self.sigma_matrix(h), target)

    def norm(self, h, s, a):
        phi = self.features[s, a]
        return math.sqrt(phi @ np.linalg.solve(self.sigma_matrix(h), phi))

    def V(self, Q, h):
        return np.zeros(self.S) if h == self.H else Q[h].max(axis=-1)

    def plan_if_doubled(self):
        now = [np.linalg.slogdet(self.sigma_matrix(h))[1] for h in range(self.H)]
        if not any(x >= y + math.log(2) for x, y in zip(now, self.last, strict=True)):
            return
        before, before_check = self.Q.copy(), self.Q_check.copy()
        for h in reversed(range(self.H)):
            w = self.regress(h, self.V(self.Q, h + 1))
            w_check = self.regress(h, self.V(self.Q_check, h + 1))
            for s in range(self.S):
                for a in range(self.A):
                    phi, r, u = self.features[s, a], self.rewards[h, s, a], self.norm(h, s, a)
                    high = r + phi @ w + self.beta * u
                    low = r + phi @ w_check - self.beta_bar * u
                    self.Q[h, s, a] = min(high, before[h, s, a], self.H)
                    self.Q_check[h, s, a] = max(low, before_check[h, s, a], 0)
        self.last, self.switches = now, self.switches + 1

    def weight(self, h, s, a):
        d, H, phi, u = self.d, self.H, self.features[s, a], self.norm(h, s, a)
        V = self.V(self.Q, h + 1)
        w = self.regress(h, V)
        w_check = self.regress(h, self.V(self.Q_check, h + 1))
        w_square = self.regress(h, V**2)
        variance = np.clip(phi @ w_square, 0, H**2) - np.clip(phi @ w, 0, H) ** 2
        E = min(self.beta_tilde * u, H**2) + min(2 * H * self.beta_bar * u, H**2)
        gap = phi @ (w - w_check) + 2 * self.beta_bar * u
        D = min(4 * d**3 * H**2 * gap, d**3 * H**3)
        sigma2 = max(variance, 0) + self.v * (E + D) + H
        sigma_bar = max(math.sqrt(sigma2), math.sqrt(H), self.v * 2 * d**3 * H**2 * math.sqrt(u))
        return sigma_bar**-2

    def play(self, trajectories, k):
        new = []
        for h in range(self.H):
            s, a, _, after = tuples(trajectories, h)[k]
            new.append((s, a, after, self.weight(h, s, a)))
        for h in range(self.H):
            self.memory[h].append(new[h])
        self.plan_if_doubled()
