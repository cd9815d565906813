"""NeuralUCB in PyTorch, trained as its authors train it: the yardstick of neural bandits.

Zhou, Li and Gu, "Neural contextual bandits with UCB-based exploration", ICML 2020, with the
settings of the public experiments: contexts in R^(K d) written out, one hidden layer of 100, the
gradient of every arm by a backward pass of its own, the diagonal of U, and after every round a
training of up to a thousand steps on single rounds. The program is ours.

`regrax bench contextual` runs this file inside a virtual environment that holds PyTorch and NumPy
and nothing of regrax: hence only the standard library at the top. It answers a JSON line, the
keyword arguments of `play`, with a JSON line, what `play` returns.
"""

import json
import random
import sys
import time
from typing import Any

REQUIREMENTS = ("torch==2.13.0", "numpy")
NEWEST_PYTHON = (3, 13)

LAMBDA = NU = 1e-5  # the authors' for images
HIDDEN, RATE, STEPS, TOLERANCE = 100, 0.01, 1000, 1e-3


def play(
    features: list, labels: list, arms: int, history: int, rounds: int, seed: int
) -> dict[str, Any]:
    """Seconds and mistakes of `rounds` rounds of NeuralUCB, which come after `history` rounds of
    random arms that are neither trained on nor timed."""
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    order = rng.sample(range(len(labels)), history + rounds)
    table = torch.tensor(features)
    model = torch.nn.Sequential(
        torch.nn.Linear(arms * table.shape[1], HIDDEN),
        torch.nn.ReLU(),
        torch.nn.Linear(HIDDEN, 1),
    )
    weights = list(model.parameters())
    precision = LAMBDA * torch.ones(sum(w.numel() for w in weights))
    inputs, rewards = [], []
    for row in order[:history]:
        arm = rng.randrange(arms)
        inputs.append(_contexts(table[row], arms)[arm])
        rewards.append(float(arm == labels[row]))

    start, mistakes, steps = time.perf_counter(), 0, 0
    for row in order[history:]:
        contexts, scores, slopes = _contexts(table[row], arms), [], []
        for output in model(contexts)[:, 0]:
            model.zero_grad()
            output.backward(retain_graph=True)
            slope = torch.cat([w.grad.flatten() for w in weights])
            width = torch.sqrt(torch.sum(LAMBDA * NU * slope * slope / precision))
            slopes.append(slope)
            scores.append(output.item() + width.item())
        arm = max(range(arms), key=scores.__getitem__)
        precision += slopes[arm] * slopes[arm]
        mistakes += arm != labels[row]
        inputs.append(contexts[arm])
        rewards.append(float(arm == labels[row]))
        steps += train(model, inputs, rewards, rng)
    return {"seconds": time.perf_counter() - start, "mistakes": mistakes, "steps": steps}


def train(model: Any, inputs: list, rewards: list, rng: random.Random) -> int:
    """Steps on single rounds, in one random order pass after pass; returns their number.

    Ends after 1,000 steps or a pass of mean loss 0.001 at most.
    """
    import torch  # pyright: ignore[reportMissingImports]

    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, weight_decay=LAMBDA)
    order, number = rng.sample(range(len(rewards)), len(rewards)), 0
    while True:
        total = 0.0
        for row in order:
            optimizer.zero_grad()
            loss = (model(inputs[row])[0] - rewards[row]) ** 2
            loss.backward()
            optimizer.step()
            total += loss.item()
            number += 1
            if number == STEPS:
                return number
        if total / len(order) <= TOLERANCE:
            return number


def _contexts(x: Any, arms: int) -> Any:
    """[K, K d]: the features in the arm's own block, zeros elsewhere."""
    import torch  # pyright: ignore[reportMissingImports]

    return torch.kron(torch.eye(arms), x[None])


def main() -> None:
    """Answers requests from standard input until it ends."""
    replies, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(play(**json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
