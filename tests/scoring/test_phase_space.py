"""The phase space over reasoning steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cert_otel.scoring.embedding import to_unit_vectors
from cert_otel.scoring.phase_space import (
    PhaseSpace,
    PhaseTrajectory,
    measure_energies,
    measure_trajectory,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float32]

EAST, NORTH, WEST = ([1.0, 0.0], [0.0, 1.0], [-1.0, 0.0])
OPTIONAL = [name for name in PhaseTrajectory.__struct_fields__ if name != "steps"]


def make_path(seed: int, steps: int, *, dimension: int = 8) -> tuple[Array, Array]:
    """Make a question and its steps, some of them repeated."""
    random = np.random.default_rng(seed)
    rows = to_unit_vectors(random.normal(size=(steps + 1, dimension)))
    repeated = random.integers(0, np.maximum(np.arange(1, steps + 2), 1))
    chosen = np.where(random.random(steps + 1) < 0.2, repeated, np.arange(steps + 1))
    return rows[0], rows[chosen[1:]]


def array(*rows: list[float]) -> Array:
    """Make steps of rows."""
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), 2)


paths = st.builds(make_path, st.integers(0, 2**32 - 1), st.integers(0, 40))


class TestEnergies:
    @given(paths)
    def test_kinetic_is_one_minus_the_cosine(self, path: tuple[Array, Array]) -> None:
        """Half the squared momentum of unit vectors is 1 - cos of neighbours."""
        question, steps = path
        before = np.vstack((question, steps))[:-1]

        kinetic = measure_energies(question, steps).kinetic

        assert kinetic == pytest.approx(1 - np.sum(before * steps, axis=1), abs=1e-6)

    @given(paths)
    def test_keep_their_bounds(self, path: tuple[Array, Array]) -> None:
        """T lies in [0, 2], V in [-1, 1], and H, their sum, in [-1, 3]."""
        kinetic, potential, energy = measure_energies(*path)

        assert np.all((kinetic >= 0) & (kinetic <= 2))
        assert np.all((potential >= -1) & (potential <= 1))
        assert np.array_equal(energy, kinetic + potential)

    @given(paths, st.randoms(use_true_random=False))
    def test_only_motion_depends_on_the_order(
        self, path: tuple[Array, Array], random: object
    ) -> None:
        """Steps in another order have the same potentials."""
        question, steps = path
        order = np.random.default_rng(hash(random) % 2**32).permutation(len(steps))

        shuffled = measure_energies(question, steps[order]).potential

        assert shuffled == pytest.approx(measure_energies(question, steps).potential[order])

    def test_moves_with_the_order(self) -> None:
        """The same steps the other way round move otherwise."""
        there = measure_energies(np.asarray(EAST), array(NORTH, WEST))
        back = measure_energies(np.asarray(EAST), array(WEST, NORTH))

        assert there.kinetic == pytest.approx([1.0, 1.0])
        assert back.kinetic == pytest.approx([2.0, 1.0])

    def test_repeating_is_standing_still(self) -> None:
        """A step that says the same again has kinetic energy 0, exactly."""
        question, steps = make_path(1, 1)

        kinetic = measure_energies(question, np.vstack((steps, steps))).kinetic

        assert kinetic[1] == 0.0

    def test_extremes_are_reached(self) -> None:
        """An echo of the question has H = -1; from it to its opposite, H = 3."""
        assert measure_energies(np.asarray(EAST), array(EAST)).energy == pytest.approx([-1.0])
        assert measure_energies(np.asarray(EAST), array(WEST)).energy == pytest.approx([3.0])


class TestTrajectory:
    def test_describes_a_path(self) -> None:
        """Two right angles on a circle, worked out by hand."""
        trajectory = measure_trajectory(np.asarray(EAST), array(NORTH, WEST))

        assert msgspec.structs.asdict(trajectory) == pytest.approx(
            {
                "steps": 2,
                "kinetic_mean": 1.0,
                "potential_mean": 0.5,
                "energy_mean": 1.5,
                "energy_max": 2.0,
                "energy_final": 2.0,
                "energy_drift": 1.0,
                "energy_spread": 0.5,
                "path_length": 2 * math.sqrt(2),
                "efficiency": 1 / math.sqrt(2),
                "turn_angle_mean": math.pi / 2,
                "turn_angle_max": math.pi / 2,
            }
        )

    def test_of_no_steps_is_their_number(self) -> None:
        """Without a step nothing is there but `steps`."""
        empty = measure_trajectory(np.asarray(EAST), np.empty((0, 2)))

        assert empty == PhaseTrajectory(steps=0)
        assert PhaseSpace(np.asarray(EAST)).summarise() == empty

    def test_of_one_step_is_its_energies(self) -> None:
        """With one step there is no drift, spread, length, efficiency or turn."""
        one = measure_trajectory(np.asarray(EAST), array(NORTH))

        assert one == PhaseTrajectory(
            steps=1,
            kinetic_mean=1.0,
            potential_mean=0.0,
            energy_mean=1.0,
            energy_max=1.0,
            energy_final=1.0,
        )

    def test_standing_still_has_no_direction(self) -> None:
        """Steps that all repeat the question have no efficiency and no turn."""
        still = measure_trajectory(np.asarray(EAST), array(EAST, EAST, EAST))

        assert still.path_length == 0.0
        assert still.efficiency is None
        assert still.turn_angle_mean is None
        assert still.turn_angle_max is None

    @given(paths)
    def test_is_never_nan(self, path: tuple[Array, Array]) -> None:
        """Every figure is finite or `None`; efficiency is a share, angles are within π."""
        trajectory = measure_trajectory(*path)
        values = [getattr(trajectory, name) for name in OPTIONAL]

        assert all(value is None or math.isfinite(value) for value in values)
        assert 0 <= (trajectory.efficiency or 0) <= 1
        assert 0 <= (trajectory.turn_angle_max or 0) <= math.pi


class TestStreaming:
    @given(paths)
    def test_equals_the_batch(self, path: tuple[Array, Array]) -> None:
        """Step by step gives the same figures as all at once."""
        question, steps = path
        space = PhaseSpace(question)
        for step in steps:
            space.add(step)
        whole = measure_trajectory(question, steps)

        for name in PhaseTrajectory.__struct_fields__:
            expected = getattr(whole, name)
            actual = getattr(space.summarise(), name)
            assert actual == (expected if expected is None else pytest.approx(expected, abs=1e-6))

    @given(paths)
    def test_returns_each_step(self, path: tuple[Array, Array]) -> None:
        """Each step's energies are those of the batch."""
        question, steps = path
        space = PhaseSpace(question)
        moved = [space.add(step) for step in steps]
        energies = measure_energies(question, steps)

        assert [one.kinetic for one in moved] == pytest.approx(energies.kinetic)
        assert [one.potential for one in moved] == pytest.approx(energies.potential)
        assert [one.energy for one in moved] == pytest.approx(energies.energy)

    def test_first_step_has_no_turn(self) -> None:
        """A turn needs two movements."""
        space = PhaseSpace(np.asarray(EAST))

        assert space.add(np.asarray(NORTH)).turn_angle is None
        assert space.add(np.asarray(WEST)).turn_angle == pytest.approx(math.pi / 2)

    def test_keeps_three_vectors(self) -> None:
        """What is kept does not grow with the steps."""
        question, steps = make_path(3, 200)
        space = PhaseSpace(question)
        for step in steps:
            space.add(step)

        arrays = [value for value in vars(space).values() if isinstance(value, np.ndarray)]
        assert [kept.shape for kept in arrays] == [question.shape] * 3


class TestInput:
    @pytest.mark.parametrize("bad", [[2.0, 0.0], [0.0, 0.0], [math.nan, 1.0]])
    def test_must_have_unit_norm(self, bad: list[float]) -> None:
        """What is not a unit vector is refused, and the remedy named."""
        with pytest.raises(ValueError, match="to_unit_vectors"):
            measure_trajectory(np.asarray(EAST), array(NORTH, bad))
        with pytest.raises(ValueError, match="to_unit_vectors"):
            PhaseSpace(np.asarray(EAST)).add(np.asarray(bad))

    def test_must_have_one_dimension(self) -> None:
        """A question and steps of two models are refused."""
        with pytest.raises(ValueError, match="question has 3 dimensions, the steps 2"):
            measure_energies(np.asarray([1.0, 0.0, 0.0]), array(NORTH))
        with pytest.raises(ValueError, match="question has 3 dimensions, the steps 2"):
            PhaseSpace(np.asarray([1.0, 0.0, 0.0])).add(np.asarray(NORTH))

    def test_must_have_the_right_axes(self) -> None:
        """One vector is not a list of steps."""
        with pytest.raises(ValueError, match="2 axes"):
            measure_energies(np.asarray(EAST), np.asarray(NORTH))
