"""Environments: what a learner plays against. Each is a frozen pytree of parameters."""

from .adversarial import AdversarialBandit as AdversarialBandit
from .adversarial import against as against
from .adversarial import alternating as alternating
from .bandits import BernoulliBandit as BernoulliBandit
from .bandits import BetaBandit as BetaBandit
from .bandits import GaussianBandit as GaussianBandit
from .full_information import FullInformation as FullInformation
from .full_information import WithHindsight as WithHindsight
from .instances import BetaMeans as BetaMeans
from .instances import HiddenBestArm as HiddenBestArm
from .instances import RandomMeans as RandomMeans
from .instances import auer_2002 as auer_2002
from .instances import chapelle_li_2011 as chapelle_li_2011
from .instances import garivier_cappe_2011 as garivier_cappe_2011
from .instances import linear_gaps as linear_gaps
from .instances import lower_bound as lower_bound
from .instances import lower_bound_pair as lower_bound_pair
from .instances import one_good_arm as one_good_arm
from .instances import worst_gap as worst_gap
from .nonstationary import PiecewiseStationaryBandit as PiecewiseStationaryBandit
from .nonstationary import abrupt as abrupt
from .nonstationary import garivier_moulines as garivier_moulines
from .nonstationary import stochastically_constrained as stochastically_constrained
