"""Symmetries of the weights of a network. So far: positive scaling of hidden units in an `nn.Sequential`."""

from symdiscover.network.activation import Homogeneity as Homogeneity
from symdiscover.network.activation import expression_of as expression_of
from symdiscover.network.activation import homogeneity as homogeneity
from symdiscover.network.scaling import Scaling as Scaling
from symdiscover.network.scaling import ScalingPair as ScalingPair
from symdiscover.network.scaling import scaling_of as scaling_of
