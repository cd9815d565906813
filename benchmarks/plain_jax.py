"""The textbook JAX program: `vmap` of `scan`, with a key split in every step.

The JAX peer of `regrax bench bandits`, written as a JAX tutorial would write it (`jnp.argmax`,
`.at[arm].add`, `jax.random.beta`, `jax.random.categorical`), with one kindness: the round counter
sits in the carry, as `scan` over `jnp.arange` is up to eight times slower on CPU.

Runs as a script in a process of its own, with JAX as it comes, and imports nothing of regrax. It
reads one JSON request a line, {"algorithm", "means", "horizon", "seeds", "root_seed"}, and answers
each with one JSON line, {"seconds", "compile_seconds", "mean", "variance"}: time of the run, time
to compile (0 for a program met before), and the mean and the unbiased variance over seeds of the
pseudo-regret.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np


def ucb1(means, horizon, key):
    """One run of UCB1 (Auer et al. 2002, figure 1); returns the pulls of each arm, [K]."""

    def step(carry, _):
        key, t, pulls, rewards = carry
        key, draw = jax.random.split(key)
        index = rewards / pulls + jnp.sqrt(2 * jnp.log(t) / pulls)
        arm = jnp.argmax(jnp.where(pulls == 0, jnp.inf, index))
        reward = jax.random.bernoulli(draw, means[arm]).astype(jnp.float32)
        return (key, t + 1, pulls.at[arm].add(1), rewards.at[arm].add(reward)), None

    zeros = jnp.zeros_like(means)
    (_, _, pulls, _), _ = jax.lax.scan(step, (key, 1.0, zeros, zeros), length=horizon)
    return pulls


def thompson(means, horizon, key):
    """One run of Thompson sampling with Beta(1, 1) priors (Agrawal and Goyal 2012); pulls [K]."""

    def step(carry, _):
        key, ones, zeros = carry
        key, sample, draw = jax.random.split(key, 3)
        arm = jnp.argmax(jax.random.beta(sample, ones, zeros))
        reward = jax.random.bernoulli(draw, means[arm]).astype(jnp.float32)
        return (key, ones.at[arm].add(reward), zeros.at[arm].add(1 - reward)), None

    prior = jnp.ones_like(means)
    (_, ones, zeros), _ = jax.lax.scan(step, (key, prior, prior), length=horizon)
    return ones + zeros - 2


def exp3(means, horizon, key):
    """One run of Exp3 on losses, rate sqrt(2 ln K / (T K)) (Auer et al. 2002); pulls [K]."""
    rate = jnp.sqrt(2 * jnp.log(means.size) / (horizon * means.size))

    def step(carry, _):
        key, pulls, losses = carry
        key, choice, draw = jax.random.split(key, 3)
        logits = -rate * losses
        arm = jax.random.categorical(choice, logits)
        loss = 1 - jax.random.bernoulli(draw, means[arm]).astype(jnp.float32)
        chance = jax.nn.softmax(logits)[arm]
        return (key, pulls.at[arm].add(1), losses.at[arm].add(loss / chance)), None

    zeros = jnp.zeros_like(means)
    (_, pulls, _), _ = jax.lax.scan(step, (key, zeros, zeros), length=horizon)
    return pulls


ALGORITHMS = {"ucb1": ucb1, "thompson": thompson, "exp3": exp3}


def compile_program(algorithm, horizon, means, keys):
    """Compiles all seeds of one algorithm; returns (program of (means, keys), seconds it took)."""
    start = time.perf_counter()
    run = ALGORITHMS[algorithm]
    program = jax.jit(lambda means, keys: jax.vmap(lambda key: run(means, horizon, key))(keys))
    return program.lower(means, keys).compile(), time.perf_counter() - start


def answer(request, programs):
    """Runs one request; `programs` keeps what has been compiled. Returns the answer as a dict."""
    means = jnp.asarray(request["means"], jnp.float32)
    keys = jax.random.split(jax.random.key(request["root_seed"]), request["seeds"])
    shape = (request["algorithm"], request["seeds"], request["horizon"], means.size)
    compile_seconds = 0.0
    if shape not in programs:
        programs[shape], compile_seconds = compile_program(shape[0], shape[2], means, keys)
    jax.block_until_ready((means, keys))
    start = time.perf_counter()
    pulls = np.asarray(programs[shape](means, keys))
    seconds = time.perf_counter() - start
    arms = np.asarray(request["means"])
    regret = pulls @ (arms.max() - arms)
    return {
        "seconds": seconds,
        "compile_seconds": compile_seconds,
        "mean": regret.mean(),
        "variance": regret.var(ddof=1) if len(regret) > 1 else 0.0,
    }


def main():
    """Answers requests from standard input until it ends."""
    programs = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), programs)), flush=True)


if __name__ == "__main__":
    main()
