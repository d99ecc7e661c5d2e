"""Symmetries of the weights of a network: the layer graph of a traced model, and the pairs that share a group."""

from symdiscover.network.activation import expression_of as expression_of
from symdiscover.network.activation import expression_of_op as expression_of_op
from symdiscover.network.activation import register as register
from symdiscover.network.completeness import Completeness as Completeness
from symdiscover.network.completeness import completeness as completeness
from symdiscover.network.conserved import conserved as conserved
from symdiscover.network.finder import Proof as Proof
from symdiscover.network.formula import Z as Z
from symdiscover.network.network_action import NetworkAction as NetworkAction
from symdiscover.network.network_action import action_for as action_for
from symdiscover.network.network_action import network_action as network_action
from symdiscover.network.on_batch import OnBatchAction as OnBatchAction
from symdiscover.network.on_batch import on_batch_action as on_batch_action
from symdiscover.network.on_batch import on_batch_pairs as on_batch_pairs
from symdiscover.network.pair_action import PairAction as PairAction
from symdiscover.network.pairs import Pair as Pair
from symdiscover.network.pairs import find_pairs as find_pairs
from symdiscover.network.relations import Homogeneity as Homogeneity
from symdiscover.network.relations import Relations as Relations
from symdiscover.network.relations import homogeneity as homogeneity
from symdiscover.network.relations import relations as relations
from symdiscover.network.scaling import Scaling as Scaling
from symdiscover.network.scaling import ScalingPair as ScalingPair
from symdiscover.network.scaling import scaling_of as scaling_of
from symdiscover.network.trace import LayerGraph as LayerGraph
from symdiscover.network.trace import trace as trace
