"""The learners for weighted tallying bandits again: plain float64 loops over plain lists.

`act` (or `act(u)` for one that draws) gives the next arm, `update` takes its reward. `margin` is
the smallest distance of any comparison so far from going the other way: rounding cannot have
decided where it is large.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


class TallyingElimination:
    """A list of visits to make, epoch by epoch."""

    def __init__(self, num_arms, horizon, burn_in, delta=None, growth=2, merge=False):
        self.num_arms, self.horizon, self.burn_in = num_arms, horizon, burn_in
        self.delta = 1 / horizon if delta is None else delta
        self.growth, self.merge = growth, merge
        self.active, self.size, self.epoch = list(range(num_arms)), 1, 0
        self.margin, self.previous, self.means = math.inf, None, {}
        self.begin_epoch()

    def begin_epoch(self):
        downwards = self.merge and self.epoch % 2 == 1
        self.to_visit = sorted(self.active, reverse=downwards)
        self.begin_visit()

    def begin_visit(self):
        self.arm = self.to_visit.pop(0)
        merged = self.merge and self.arm == self.previous
        self.wait, self.rewards = (0 if merged else self.burn_in), []

    def act(self):
        return self.arm

    def update(self, arm, reward):
        if self.wait:
            self.wait -= 1
            return
        self.rewards.append(reward)
        if len(self.rewards) < self.size or len(self.active) == 1:
            return
        self.means[arm], self.previous = float(np.mean(self.rewards)), arm
        if not self.to_visit:
            self.end_epoch()
        else:
            self.begin_visit()

    def end_epoch(self):
        log = math.log(2 * self.num_arms * math.log2(self.horizon) / self.delta)
        radius = math.sqrt(log / (2 * self.size))
        leader = max(self.means[arm] for arm in self.active)
        lead = {arm: self.means[arm] + radius - (leader - radius) for arm in self.active}
        self.margin = min([self.margin, *map(abs, lead.values())])
        self.active = [arm for arm in self.active if lead[arm] >= 0]
        self.size *= self.growth
        self.epoch += 1
        self.begin_epoch()


class RoundRobinElimination:
    def __init__(self, num_arms, horizon, delta=None):
        self.num_arms, self.horizon = num_arms, horizon
        self.delta = 1 / horizon if delta is None else delta
        self.rewards = [[] for _ in range(num_arms)]
        self.active, self.margin = list(range(num_arms)), math.inf
        self.queue = list(self.active)

    def act(self):
        return self.queue[0]

    def update(self, arm, reward):
        self.rewards[self.queue.pop(0)].append(reward)
        if self.queue:
            return
        means = {a: float(np.mean(self.rewards[a])) for a in self.active}
        log = math.log(2 * self.num_arms * self.horizon / self.delta)
        radius = math.sqrt(log / (2 * len(self.rewards[arm])))
        lead = {a: means[a] + 2 * radius - max(means.values()) for a in self.active}
        self.margin = min([self.margin, *map(abs, lead.values())])
        self.active = [a for a in self.active if lead[a] >= 0]
        self.queue = list(self.active)


class ExposedExploreThenCommit:
    def __init__(self, num_arms, horizon, burn_in, pulls_per_arm=None):
        if pulls_per_arm is None:
            pulls_per_arm = round((horizon / num_arms) ** (2 / 3))
        self.num_arms, self.burn_in, self.pulls = num_arms, burn_in, pulls_per_arm
        self.rewards = [[] for _ in range(num_arms)]
        self.margin, self.t = math.inf, 0

    def act(self):
        visit = self.t // (self.burn_in + self.pulls)
        if visit < self.num_arms:
            return visit
        means = [float(np.mean(x)) for x in self.rewards]
        first, second = sorted(means)[-2:][::-1]
        self.margin = min(self.margin, first - second)
        return int(np.argmax(means))

    def update(self, arm, reward):
        visit, place = divmod(self.t, self.burn_in + self.pulls)
        if visit < self.num_arms and place >= self.burn_in:
            self.rewards[arm].append(reward)
        self.t += 1


class BatchedExp3:
    """`act(u)` takes the uniform of the round; only the one at the start of a batch counts."""

    def __init__(self, num_arms, horizon, batch, burn_in=0):
        self.rate = math.sqrt(2 * math.log(num_arms) * batch / (horizon * num_arms))
        self.batch, self.burn_in = batch, burn_in
        self.losses, self.rewards, self.margin = np.zeros(num_arms), [], math.inf

    def chances(self):
        weights = np.exp(-self.rate * (self.losses - self.losses.min()))
        return weights / weights.sum()

    def act(self, u):
        if not self.rewards:
            edges = np.cumsum(self.chances())
            self.margin = min(self.margin, *np.abs(edges[:-1] - u))
            self.arm = int(np.sum(edges[:-1] <= u))
        return self.arm

    def update(self, arm, reward):
        self.rewards.append(reward)
        if len(self.rewards) == self.batch:
            loss = 1 - np.mean(self.rewards[self.burn_in :])
            self.losses[arm] += loss / self.chances()[arm]
            self.rewards = []


class LevelElimination:
    """All plans are listed, instead of the dynamic program; ties between plans go as they may, so
    rewards have to be such that there are none."""

    def __init__(self, num_arms, horizon, memory, delta=None):
        self.num_arms, self.memory, self.horizon = num_arms, memory, horizon
        self.delta = 1 / horizon if delta is None else delta
        every = itertools.product(range(memory + 1), repeat=num_arms)
        self.plans = [plan for plan in every if sum(plan) == memory]
        levels = list(itertools.product(range(num_arms), range(1, memory + 1)))
        self.alive, self.size, self.margin = list(levels), 1, math.inf
        self.upper, self.lower = dict.fromkeys(levels, 1.0), dict.fromkeys(levels, 0.0)
        self.rewards = {level: [] for level in levels}
        self.dropped = []
        self.turn()

    def worth(self, plan, bounds):
        return sum(n * bounds[arm, n] for arm, n in enumerate(plan) if n)

    def possible(self, needed=None):
        found = []
        for plan in self.plans:
            levels = [(arm, n) for arm, n in enumerate(plan) if n]
            if all(x in self.alive for x in levels) and (needed is None or needed in levels):
                found.append(plan)
        return found

    def best(self, plans, bounds):
        """Of equal plans the one with fewer plays of the last arm, then of the one before, ..."""
        worths = [self.worth(plan, bounds) for plan in plans]
        top = max(worths)
        equal = [p for p, w in zip(plans, worths, strict=True) if w >= top - 1e-9]
        return min(equal, key=lambda plan: plan[::-1]), top

    def turn(self):
        wanted = [x for x in self.alive if len(self.rewards[x]) < self.size]
        if not wanted:
            log = math.log(2 * self.num_arms * self.memory * math.log2(self.horizon) / self.delta)
            for level, rewards in self.rewards.items():
                if rewards:
                    radius = math.sqrt(log / (2 * len(rewards)))
                    self.upper[level] = float(np.mean(rewards)) + radius
                    self.lower[level] = float(np.mean(rewards)) - radius
            self.rewards = {level: [] for level in self.rewards}
            self.size *= 2
            wanted = list(self.alive)
        level = min(wanted)
        safe, sure = self.best(self.possible(), self.lower)
        plans = self.possible(level)
        plan, hope = self.best(plans, self.upper) if plans else (safe, -math.inf)
        self.margin = min(self.margin, abs(hope - sure))
        if hope >= sure:
            self.level, self.plan = level, list(plan)
        else:
            self.alive.remove(level)
            self.dropped.append(level)
            self.level, self.plan = None, list(safe)
        self.position = self.cycles = 0

    def act(self):
        order = [arm for arm, n in enumerate(self.plan) for _ in range(n)]
        return order[self.position]

    def update(self, arm, reward):
        if self.cycles:
            self.rewards[arm, self.plan[arm]].append(reward)
        self.position += 1
        if self.position == self.memory:
            self.position, self.cycles = 0, self.cycles + 1
            if self.level is None or len(self.rewards[self.level]) >= self.size:
                self.turn()
