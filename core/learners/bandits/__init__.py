"""Learners for bandits: an arm a round, the reward of that arm comes back."""

from .bayes import BayesUCB, BayesUCBGaussian
from .elimination import SuccessiveElimination
from .explore import DecayingEpsilonGreedy, EpsilonGreedy, ExploreThenCommit, Uniform
from .exponential import Exp3, Exp3IX, Exp3S
from .gradient import GradientBandit
from .kl import IMED, KLUCB
from .nonstationary import DiscountedUCB, SlidingWindowUCB
from .thompson import ThompsonBeta, ThompsonGaussian
from .tsallis import TsallisINF
from .ucb import MOSS, UCB1, UCBV, AnytimeMOSS

__all__ = [
    "IMED",
    "KLUCB",
    "MOSS",
    "UCB1",
    "UCBV",
    "AnytimeMOSS",
    "BayesUCB",
    "BayesUCBGaussian",
    "DecayingEpsilonGreedy",
    "DiscountedUCB",
    "EpsilonGreedy",
    "Exp3",
    "Exp3IX",
    "Exp3S",
    "ExploreThenCommit",
    "GradientBandit",
    "SlidingWindowUCB",
    "SuccessiveElimination",
    "ThompsonBeta",
    "ThompsonGaussian",
    "TsallisINF",
    "Uniform",
]
