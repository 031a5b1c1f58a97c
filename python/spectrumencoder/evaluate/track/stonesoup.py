# SPDX-License-Identifier: GPL-3.0-or-later
"""Stone Soup's trackers behind the interface of ours: global nearest neighbour and joint probabilistic data association.

Both have constant velocity, births by several reports, deaths by missed scans. JPDA is ``JPDAwithEHM``: exact marginals by
efficient hypothesis management in clusters. The plain ``JPDA`` enumerates all hypotheses of all tracks together, which is
impossible with twenty tracks. Both know the probability of detection and the density of false reports. Their settings were
tuned on scenes of the tune split (``tune``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from ...tracker.estimate import Estimate

GNN, JPDA = "GNN", "JPDA"
_EPOCH = datetime(2000, 1, 1)


@dataclass(frozen=True)
class StoneSoupSettings:
    """Settings of a tracker.

    `q` is white acceleration, m2/s3. `confirm` reports make a track. `missed` scans without a report end it. `gate` is, for
    JPDA, the probability that the gate holds the report, and for GNN the largest Mahalanobis distance.
    """

    q: float
    confirm: int
    missed: int
    gate: float


TUNED = {GNN: StoneSoupSettings(20.0, 3, 3, 4.0), JPDA: StoneSoupSettings(20.0, 3, 3, 0.999)}


@dataclass(frozen=True)
class StoneSoupTrack:
    id: str
    estimate: Estimate


class StoneSoupTracker:
    """`kind`: GNN or JPDA."""

    def __init__(self, kind: str, settings: StoneSoupSettings, sigma_m: float, detection: float, false_per_m2: float,
                 start_speed_mps: float = 150.0):
        from stonesoup.dataassociator.neighbour import GNNWith2DAssignment
        from stonesoup.dataassociator.probability import JPDAwithEHM
        from stonesoup.deleter.time import UpdateTimeStepsDeleter
        from stonesoup.hypothesiser.distance import DistanceHypothesiser
        from stonesoup.hypothesiser.probability import PDAHypothesiser
        from stonesoup.initiator.simple import MultiMeasurementInitiator
        from stonesoup.measures import Mahalanobis
        from stonesoup.models.measurement.linear import LinearGaussian
        from stonesoup.models.transition.linear import CombinedLinearGaussianTransitionModel, ConstantVelocity
        from stonesoup.predictor.kalman import KalmanPredictor
        from stonesoup.tracker.simple import MultiTargetMixtureTracker, MultiTargetTracker
        from stonesoup.types.state import GaussianState
        from stonesoup.updater.kalman import KalmanUpdater

        self._model = LinearGaussian(ndim_state=4, mapping=(0, 2), noise_covar=sigma_m**2 * np.eye(2))
        predictor = KalmanPredictor(CombinedLinearGaussianTransitionModel([ConstantVelocity(settings.q)] * 2))
        updater = KalmanUpdater(self._model)
        nearest = GNNWith2DAssignment(DistanceHypothesiser(
            predictor, updater, Mahalanobis(), missed_distance=settings.gate if kind == GNN else 4.0))
        deleter = UpdateTimeStepsDeleter(time_steps_since_update=settings.missed)
        prior = GaussianState(np.zeros((4, 1)), np.diag([0.0, start_speed_mps**2, 0.0, start_speed_mps**2]))
        initiator = MultiMeasurementInitiator(prior_state=prior, measurement_model=self._model,
                                              deleter=UpdateTimeStepsDeleter(time_steps_since_update=2), data_associator=nearest,
                                              updater=updater, min_points=settings.confirm)
        if kind == GNN:
            self._tracker = MultiTargetTracker(initiator, deleter, None, nearest, updater)
        else:
            associator = JPDAwithEHM(PDAHypothesiser(predictor, updater, clutter_spatial_density=false_per_m2,
                                                     prob_detect=detection, prob_gate=settings.gate))
            self._tracker = MultiTargetMixtureTracker(initiator, deleter, None, associator, updater)

    def scan(self, time_s: float, fixes: Sequence[np.ndarray]) -> None:
        """`fixes`: positions (2,)."""
        from stonesoup.types.detection import Detection

        at = _EPOCH + timedelta(seconds=time_s)
        self._tracker.update_tracker(at, {Detection(np.asarray(f)[:, None], timestamp=at, measurement_model=self._model)
                                          for f in fixes})

    def tracks(self, time_s: float) -> list[StoneSoupTrack]:
        """The tracks held, as they were after the last scan."""
        places = [0, 2, 1, 3]
        found = []
        for track in self._tracker.tracks:
            mean = np.asarray(track.state.state_vector, float)[places, 0]
            covariance = np.asarray(track.state.covar, float)[np.ix_(places, places)]
            found.append(StoneSoupTrack(track.id, Estimate(time_s, mean[:2], mean[2:], covariance)))
        return found
