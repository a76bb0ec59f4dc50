"""Phase space over reasoning steps: how an answer moves, relative to its question.

Steps i = 1…n have unit embeddings q_i, the question has q_0:

    momentum    p_i = q_i - q_(i-1)
    kinetic     T_i = |p_i|² / 2 = 1 - cos(q_i, q_(i-1))    in [0, 2]
    potential   V_i = -cos(q_i, q_0)                        in [-1, 1]
    energy      H_i = T_i + V_i                             in [-1, 3]

All without unit. H is a diagnostic and never a gate by itself: on labelled chains its sign
flips with the task (docs/phase-space.md). Numpy alone: embeddings come from
`cert_otel.scoring.embedding`, or from the scoring model's hidden states.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from cert_otel.scoring.embedding import FloatArray

    Vector = npt.NDArray[np.float64]

_UNIT_TOLERANCE: Final = 1e-3
"""How far from 1 a norm may be: bfloat16 keeps three digits."""
_STILL: Final = 1e-7
"""Momentum below which there is no direction: what float32 leaves of 0."""


class StepEnergies(NamedTuple):
    """Energies of the steps of one trajectory, each of shape [steps], float64."""

    kinetic: Vector
    potential: Vector
    energy: Vector


class StepEnergy(NamedTuple):
    """Energies of one step."""

    kinetic: float
    potential: float
    energy: float
    turn_angle: float | None
    """Between the momentum of the step before and this one, radians in [0, π]."""


class PhaseTrajectory(msgspec.Struct, frozen=True, kw_only=True):
    """One trajectory in figures.

    With one step there are the energies of that step, without a step there are none; the rest
    is `None`, as is what is undefined because nothing moved. Never NaN.
    """

    steps: int
    """Always there: the number of steps explains more than any energy does."""
    kinetic_mean: float | None = None
    potential_mean: float | None = None
    energy_mean: float | None = None
    energy_max: float | None = None
    energy_final: float | None = None
    energy_drift: float | None = None
    """H of the last step minus H of the first."""
    energy_spread: float | None = None
    """Standard deviation of H over the steps (divisor n): 0 is conservation."""
    path_length: float | None = None
    """Sum of |p_i|."""
    efficiency: float | None = None
    """|q_n - q_0| over the path length, in [0, 1]."""
    turn_angle_mean: float | None = None
    turn_angle_max: float | None = None


class PhaseSpace:
    """A trajectory that grows step by step, in memory for three vectors.

    Not thread-safe: one trajectory has one writer.
    """

    def __init__(self, question: FloatArray) -> None:
        """Begin at the question.

        Args:
            question: Unit vector, shape [d].

        Raises:
            ValueError: When it is not a unit vector.
        """
        self._origin = _check_units(question, axes=1)
        self._position = self._origin
        self._momentum: Vector | None = None
        self._kinetic, self._potential, self._energy = _Running(), _Running(), _Running()
        self._length, self._angle = _Running(), _Running()

    def add(self, step: FloatArray) -> StepEnergy:
        """Move to the next step, a unit vector of shape [d].

        Raises:
            ValueError: When it is not a unit vector, or not of the question's dimension.
        """
        position = _check_units(step, axes=1)
        _check_dimension(self._origin, position)
        momentum = position - self._position
        kinetic = min(float(momentum @ momentum) / 2, 2.0)
        potential = -_clip_cosine(float(position @ self._origin))
        angle = None if self._momentum is None else _find_angle(self._momentum, momentum)
        self._position, self._momentum = position, momentum
        moved = StepEnergy(kinetic, potential, kinetic + potential, angle)
        self._remember(moved)
        return moved

    def _remember(self, moved: StepEnergy) -> None:
        self._kinetic.add(moved.kinetic)
        self._potential.add(moved.potential)
        self._energy.add(moved.energy)
        self._length.add(math.sqrt(2 * moved.kinetic))
        if moved.turn_angle is not None:
            self._angle.add(moved.turn_angle)

    def summarise(self) -> PhaseTrajectory:
        """Return the figures of the steps so far."""
        return _describe(
            kinetic=self._kinetic,
            potential=self._potential,
            energy=self._energy,
            length=self._length,
            angle=self._angle,
            distance=float(np.linalg.norm(self._position - self._origin)),
        )


def measure_energies(question: FloatArray, steps: FloatArray) -> StepEnergies:
    """Compute the energies of all steps at once.

    Args:
        question: Unit vector, shape [d].
        steps: Unit vectors, shape [n, d], in order.

    Raises:
        ValueError: When a row is not a unit vector, or the dimensions differ.
    """
    return _find_energies(_make_path(question, steps))


def measure_trajectory(question: FloatArray, steps: FloatArray) -> PhaseTrajectory:
    """Compute the figures of a whole trajectory, as `PhaseSpace` does of a growing one.

    Args:
        question: Unit vector, shape [d].
        steps: Unit vectors, shape [n, d], in order; from a sentence embedder, or
            `to_unit_vectors` of a scoring model's hidden states.

    Raises:
        ValueError: When a row is not a unit vector, or the dimensions differ.
    """
    path = _make_path(question, steps)
    energies = _find_energies(path)
    return _describe(
        kinetic=_Running.of(energies.kinetic),
        potential=_Running.of(energies.potential),
        energy=_Running.of(energies.energy),
        length=_Running.of(np.sqrt(2 * energies.kinetic)),
        angle=_Running.of(_find_angles(np.diff(path, axis=0))),
        distance=float(np.linalg.norm(path[-1] - path[0])),
    )


class _Running:
    """Count, mean, spread and extremes of numbers that are not kept (Welford 1962)."""

    __slots__ = ("count", "first", "last", "maximum", "mean", "squares")

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = self.first = self.last = 0.0
        self.maximum = -math.inf

    @classmethod
    def of(cls, values: Vector) -> _Running:
        """Take them all at once."""
        running = cls()
        if values.size:
            running.count, running.mean = values.size, float(values.mean())
            running.squares = float(values.var()) * values.size
            running.first, running.last = float(values[0]), float(values[-1])
            running.maximum = float(values.max())
        return running

    def add(self, value: float) -> None:
        """Take one more."""
        self.first = value if self.count == 0 else self.first
        self.last = value
        self.count += 1
        distance = value - self.mean
        self.mean += distance / self.count
        self.squares += distance * (value - self.mean)
        self.maximum = max(self.maximum, value)


def _describe(
    *,
    kinetic: _Running,
    potential: _Running,
    energy: _Running,
    length: _Running,
    angle: _Running,
    distance: float,
) -> PhaseTrajectory:
    if energy.count == 0:
        return PhaseTrajectory(steps=0)
    present = PhaseTrajectory(
        steps=energy.count,
        kinetic_mean=kinetic.mean,
        potential_mean=potential.mean,
        energy_mean=energy.mean,
        energy_max=energy.maximum,
        energy_final=energy.last,
    )
    if energy.count == 1:
        return present
    path_length = length.mean * length.count
    return msgspec.structs.replace(
        present,
        energy_drift=energy.last - energy.first,
        energy_spread=math.sqrt(energy.squares / energy.count),
        path_length=path_length,
        efficiency=min(distance / path_length, 1.0) if path_length > _STILL else None,
        turn_angle_mean=angle.mean if angle.count else None,
        turn_angle_max=angle.maximum if angle.count else None,
    )


def _find_energies(path: Vector) -> StepEnergies:
    momenta = np.diff(path, axis=0)
    kinetic = np.minimum(np.einsum("nd,nd->n", momenta, momenta) / 2, 2.0)
    potential = -np.clip(path[1:] @ path[0], -1.0, 1.0)
    return StepEnergies(kinetic, potential, kinetic + potential)


def _find_angles(momenta: Vector) -> Vector:
    """Return the angles between neighbours of which both move."""
    norms = np.linalg.norm(momenta, axis=1)
    products = np.einsum("nd,nd->n", momenta[:-1], momenta[1:])
    moving = np.minimum(norms[:-1], norms[1:]) > _STILL
    cosines = products[moving] / (norms[:-1] * norms[1:])[moving]
    angles: Vector = np.arccos(np.clip(cosines, -1.0, 1.0))
    return angles


def _find_angle(before: Vector, after: Vector) -> float | None:
    norms = float(np.linalg.norm(before)), float(np.linalg.norm(after))
    if min(norms) <= _STILL:
        return None
    return math.acos(_clip_cosine(float(before @ after) / (norms[0] * norms[1])))


def _clip_cosine(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine))


def _make_path(question: FloatArray, steps: FloatArray) -> Vector:
    origin, positions = _check_units(question, axes=1), _check_units(steps, axes=2)
    _check_dimension(origin, positions)
    return np.vstack((origin, positions))


def _check_dimension(question: Vector, steps: Vector) -> None:
    if question.shape[-1] != steps.shape[-1]:
        raise ValueError(
            f"the question has {question.shape[-1]} dimensions, the steps {steps.shape[-1]}:"
            " embed both with one model"
        )


def _check_units(vectors: FloatArray, *, axes: int) -> Vector:
    """Return the vectors as float64, of norm 1 to its full precision."""
    exact = np.asarray(vectors, dtype=np.float64)
    if exact.ndim != axes:
        raise ValueError(f"an array of shape {exact.shape} where {axes} axes are expected")
    norms = np.linalg.norm(exact, axis=-1, keepdims=True)
    if not bool(np.all(np.abs(norms - 1) <= _UNIT_TOLERANCE)):  # also false for NaN
        raise ValueError("not unit vectors: normalise them with to_unit_vectors")
    unit: Vector = exact / norms
    return unit
