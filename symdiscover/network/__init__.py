"""Symmetries of the weights of a network. So far: positive scaling of hidden units in an `nn.Sequential`."""

from symdiscover.network.activation import expression_of as expression_of
from symdiscover.network.activation import expression_of_op as expression_of_op
from symdiscover.network.activation import register as register
from symdiscover.network.finder import Proof as Proof
from symdiscover.network.formula import Z as Z
from symdiscover.network.relations import Homogeneity as Homogeneity
from symdiscover.network.relations import Relations as Relations
from symdiscover.network.relations import homogeneity as homogeneity
from symdiscover.network.relations import relations as relations
from symdiscover.network.scaling import Scaling as Scaling
from symdiscover.network.scaling import ScalingPair as ScalingPair
from symdiscover.network.scaling import scaling_of as scaling_of
