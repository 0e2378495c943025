"""From hyperparameters to the learner they belong to.

Shapes: O obs_dim, A action_dim.
"""

from sac_ros.sac.algorithm_config import AlgorithmConfig
from sac_ros.sac.learner import SACLearner
from sac_ros.sac.learner_protocol import Learner
from sac_ros.sac.networks import SquashedGaussianActor
from sac_ros.sac.sac_config import SACConfig
from sac_ros.sac.sac_v1 import SACV1Learner
from sac_ros.sac.sac_v1_config import SACV1Config


def make_learner(
    obs_dim: int, action_dim: int, config: AlgorithmConfig, seed: int, device: str = "cpu"
) -> Learner:
    """Return a new learner of the algorithm whose hyperparameters these are."""
    match config:
        case SACConfig():
            return SACLearner(obs_dim, action_dim, config, seed, device)
        case SACV1Config():
            return SACV1Learner(obs_dim, action_dim, config, seed, device)


def make_actor(obs_dim: int, action_dim: int, config: AlgorithmConfig) -> SquashedGaussianActor:
    """Return an actor such as that algorithm's, with weights of no meaning."""
    return SquashedGaussianActor(obs_dim, action_dim, config.hidden_sizes)
