from __future__ import annotations

import math
import time
import warnings
from dataclasses import replace

import pytest
import torch

from symdiscover.errors import Diverged, OutsideDomain, SymmetryError
from teleport.ascent import AscentSettings
from teleport.descend import ELEMENTWISE, descend
from teleport.objective import loss_after_step
from teleport.paper import PaperSettings, paper_ascent
from teleport.schedule import Clock, at, every, first
from tests.teleport.actions import DOUBLE, booth, derived, point, points, product, rosenbrock

SEEDS = 200


def optimum_of_booth_after_teleport():
    return descend(booth().loss, point(5, -5), 0.08, 10, action=booth(), schedule=at(4)).final_loss


class TestRosenbrock:
    """From (-1, -1), rate 1e-3, 1000 steps: MATH.md, section 8."""

    start = point(-1, -1)

    def run(self, **settings):
        return descend(rosenbrock().loss, settings.pop("start", self.start), 1e-3, 1000, **settings)

    def test_gradient_descent_ends_at_a_ninth(self) -> None:
        assert float(self.run().final_loss) == pytest.approx(0.1113, abs=5e-5)

    def test_published_teleports_end_below_1e_7_in_the_median_and_rarely_diverge(self) -> None:
        path = self.run(
            start=self.start.expand(SEEDS, 2), action=rosenbrock(), schedule=every(100), teleport="paper"
        )
        final = path.final_loss.nan_to_num(nan=math.inf)
        assert float(final.median()) < 1e-7
        assert int(path.diverged.sum()) <= SEEDS // 100
        assert bool((final[~path.diverged] < 0.1113).all())
        assert [record.step for record in path.teleports] == list(range(99, 1000, 100))

    def test_the_exact_maximum_is_below_1e_8_within_400_steps(self) -> None:
        path = self.run(action=rosenbrock(), schedule=every(100))
        assert float(path.losses[400]) < 1e-8
        assert float(path.losses[399]) > 1e-8  # the fourth teleport does it
        assert float(path.teleports[0].relative_change) < 1e-12

    def test_one_step_after_the_global_maximum_at_the_start_the_loss_explodes(self) -> None:
        """Exact maximisation needs a bound or the guard: MATH.md, section 2."""
        reckless = self.run(action=rosenbrock(), schedule=at(0))
        assert float(reckless.losses[1]) > 1e6
        guarded = self.run(action=rosenbrock(), schedule=at(0), guard=True)
        assert float(guarded.losses[1]) <= float(self.run().losses[1])
        (record,) = guarded.teleports
        assert record.rejected > 0 and bool(record.accepted)
        assert float(record.radius) < float(reckless.teleports[0].radius)


class TestBooth:
    """From (5, -5), rate 0.08, 10 steps, ten ascent steps of rate 1e-3 before step 4: MATH.md, section 8."""

    start = point(5, -5)

    def test_gradient_descent_ends_at_two(self) -> None:
        assert float(descend(booth().loss, self.start, 0.08, 10).final_loss) == pytest.approx(2.20, abs=5e-3)

    def test_published_teleports_end_where_the_exact_one_does(self) -> None:
        path = descend(
            booth().loss,
            self.start.expand(SEEDS, 2),
            0.08,
            10,
            action=booth(),
            schedule=at(4),
            teleport=PaperSettings(lr=1e-3),
            seed=1,
        )
        exact = optimum_of_booth_after_teleport()
        assert float(exact) == pytest.approx(9.45e-4, rel=1e-3)
        torch.testing.assert_close(path.final_loss, exact.expand(SEEDS), rtol=2e-3, atol=0)

    def test_ten_steps_do_not_leave_the_minimum_of_the_gradient(self) -> None:
        """The exception to "every seed": angles within 1e-3 of the minimum, one in a thousand."""
        plain = descend(booth().loss, self.start, 0.08, 4).points[-1]
        low = AscentSettings(minimise=True)(booth(), plain).element
        for offset, leaves in ((1e-5, False), (1e-2, True), (0.5, True)):
            found = paper_ascent(booth(), plain, 10, 1e-3, theta0=low + offset)
            assert (float(found.after) > 0.99 * 36 * float(booth().loss(plain))) == leaves

    def test_without_a_teleport_at_that_step_it_does_not(self) -> None:
        late = descend(booth().loss, self.start, 0.08, 10, action=booth(), schedule=at(9))
        assert float(late.final_loss) > 10 * float(optimum_of_booth_after_teleport())


def test_gradient_descent_is_what_it_is() -> None:
    """On Σ λ_i x_i² every step multiplies x_i by 1 - 2 λ_i lr."""
    rates = point(1, 3)
    start = points(5)
    path = descend(lambda x: (rates * x * x).sum(-1), start, 0.1, 7)
    factors = (1 - 0.2 * rates) ** torch.arange(8, dtype=DOUBLE)[:, None, None]
    torch.testing.assert_close(path.points, start * factors)
    torch.testing.assert_close(path.losses, (rates * path.points**2).sum(-1))
    torch.testing.assert_close(path.gradient_norms, (4 * rates**2 * path.points**2).sum(-1))
    assert path.gradients == 7
    assert not torch.allclose(path.points, start * (1 - 0.1 * rates) ** torch.arange(8)[:, None, None])


def test_a_batch_of_starts_gives_what_each_gives_alone() -> None:
    starts, run = points(4, 5.0), {"action": booth(), "schedule": at(3)}
    for optimizer in ("gd", "adagrad"):
        together = descend(booth().loss, starts, 0.02, 10, optimizer, **run)
        for i, start in enumerate(starts):
            alone, row = descend(booth().loss, start, 0.02, 10, optimizer, **run), together.row(i)
            torch.testing.assert_close(row.points, alone.points, rtol=1e-6, atol=1e-9)
            assert row.teleports[0].reason == alone.teleports[0].reason
            torch.testing.assert_close(row.teleports[0].after, alone.teleports[0].after, rtol=1e-6, atol=1e-9)


def test_a_teleport_fires_before_its_step_and_keeps_the_loss() -> None:
    plain = descend(booth().loss, point(5, -5), 0.08, 10)
    path = descend(booth().loss, point(5, -5), 0.08, 10, action=booth(), schedule=at(4))
    assert torch.equal(path.points[:5], plain.points[:5])
    assert not torch.allclose(path.points[5], plain.points[5])
    (record,) = path.teleports
    assert record.step == 4 and torch.equal(record.before, path.points[4])
    torch.testing.assert_close(booth()(record.element, record.before), record.after)
    torch.testing.assert_close(record.loss_after, record.loss_before, rtol=1e-13, atol=0)
    torch.testing.assert_close(record.gain, record.gradient_after / record.gradient_before)
    assert float(record.gain) > 5 and record.seconds > 0 and record.evaluations == 1


def test_the_schedule_sees_a_clock_that_starts_at_zero() -> None:
    seen = []

    def watching(clock):
        seen.append(clock)
        return False

    descend(booth().loss, point(5, -5), 0.08, 3, action=booth(), schedule=watching)
    assert seen == [Clock(0, epoch=0), Clock(1, epoch=1), Clock(2, epoch=2)]
    path = descend(booth().loss, point(5, -5), 0.08, 5, action=booth(), schedule=first(4, after_epoch=1))
    assert [record.step for record in path.teleports] == [1]


@pytest.mark.parametrize("make", ELEMENTWISE, ids=lambda make: make.__name__)
def test_every_elementwise_optimizer_runs_on_a_batch(make) -> None:
    settings = {"action": booth(), "schedule": at(5)}
    decay = {"weight_decay": 0.0} if make is torch.optim.AdamW else {}
    path = descend(booth().loss, points(3), None, 20, lambda p: make(p, lr=0.01, **decay), **settings)
    assert path.settings["optimizer"] == make.__name__ and path.settings["lr"] == 0.01
    assert bool((path.final_loss < path.losses[0]).all())
    assert bool(path.teleports[0].accepted.all())


def test_lbfgs_runs_with_its_closure_and_is_refused_for_a_batch() -> None:
    def make(p):
        return torch.optim.LBFGS(p, max_iter=4, line_search_fn="strong_wolfe")

    path = descend(rosenbrock().loss, point(-1, -1), None, 30, make)
    assert float(path.final_loss) < 1e-10 and path.gradients > 30
    teleported = descend(rosenbrock().loss, point(-1, -1), None, 30, make, rosenbrock(), at(2), guard=True)
    assert float(teleported.final_loss) < 1e-10 and bool(teleported.teleports[0].accepted)
    with pytest.raises(SymmetryError, match="LBFGS"):
        descend(rosenbrock().loss, points(2), None, 3, make)


def test_optimizers_that_mix_rows_are_refused_for_a_batch() -> None:
    for make in (lambda p: torch.optim.Adafactor(p), lambda p: torch.optim.Muon(p)):
        with pytest.raises(SymmetryError, match="one start at a time"):
            descend(booth().loss, points(3), None, 1, make)


def test_the_parameter_object_and_the_state_of_the_optimizer_survive_a_teleport() -> None:
    made = []

    def make(p):
        made.append((p[0], torch.optim.SGD(p, lr=0.01, momentum=0.9)))
        return made[-1][1]

    path = descend(booth().loss, point(5, -5), None, 5, make, booth(), at(4))
    parameter, optimizer = made[0]
    assert optimizer.param_groups[0]["params"][0] is parameter
    # The last step uses the momentum gathered before the teleport, from the point teleported to.
    velocity = point(0, 0)
    for t in range(5):
        at_ = path.teleports[0].after if t == 4 else path.points[t]
        leaf = at_.clone().requires_grad_()
        velocity = 0.9 * velocity + torch.autograd.grad(booth().loss(leaf), leaf)[0]
        torch.testing.assert_close(path.points[t + 1], at_ - 0.01 * velocity)
    torch.testing.assert_close(optimizer.state[parameter]["momentum_buffer"], velocity)


def bits(x):
    return x.view(torch.int64 if x.dtype == torch.float64 else torch.int32).tolist()


class TestATeleportThatFailsIsSkipped:
    """The path is, bit for bit, the one without teleports."""

    def compare(self, loss, start, action, reason, teleport="exact", **settings):
        plain = descend(loss, start, 1e-3, 12)
        path = descend(loss, start, 1e-3, 12, action=action, schedule=every(4), teleport=teleport, **settings)
        assert bits(path.points) == bits(plain.points)
        assert [record.reason for record in path.teleports] == [reason] * 3
        assert not any(bool(record.accepted) for record in path.teleports)
        for record in path.teleports:
            assert bits(record.before) == bits(record.after)
            assert float(record.gain) == 1 and float(record.radius) == 0
        return path

    def test_an_action_of_another_loss(self) -> None:
        path = self.compare(rosenbrock().loss, point(-1, -1), booth(), "the loss changed")
        assert float(path.teleports[0].relative_change) > 0.1
        assert path.teleports[0].rejected == 1

    def test_a_wrong_sign(self) -> None:
        class Wrong:
            group, loss = booth().group, staticmethod(booth().loss)
            exp = staticmethod(booth().exp)

            def __call__(self, element, x):
                return booth()(element, x) * torch.tensor([1.0, -1.0], dtype=DOUBLE)

        self.compare(booth().loss, point(5, -5), Wrong(), "the loss changed")
        self.compare(booth().loss, point(5, -5), Wrong(), "the loss changed", "paper")

    def test_a_minimum(self) -> None:
        self.compare(rosenbrock().loss, point(1, 1), rosenbrock(), "zero gradient")

    def test_what_is_not_finite(self) -> None:
        plain = descend(rosenbrock().loss, point(100, 100), 1e-3, 12)
        path = descend(rosenbrock().loss, point(100, 100), 1e-3, 12, action=rosenbrock(), schedule=at(10))
        assert bool(plain.diverged) and path.teleports[0].reason == "not finite"
        torch.testing.assert_close(path.points, plain.points, equal_nan=True, rtol=0, atol=0)

    def test_an_action_that_raises_outside_its_domain(self) -> None:
        def search(action, x, generator):
            raise OutsideDomain("the point has x < 0")

        self.compare(booth().loss, point(5, -5), booth(), "the point has x < 0", search)
        with pytest.raises(SymmetryError, match="x < 0"):
            descend(booth().loss, point(5, -5), 0.01, 3, "gd", booth(), at(1), search, on_failure="raise")

    def test_an_exact_action_is_not_refused(self) -> None:
        """The twin: the same comparison fails where the teleport is made."""
        with pytest.raises(AssertionError):
            self.compare(booth().loss, point(5, -5), booth(), "the loss changed")


def test_on_failure_raise_raises_for_failures_only() -> None:
    run = {"schedule": at(1), "on_failure": "raise"}
    with pytest.raises(SymmetryError, match="changed the loss"):
        descend(rosenbrock().loss, point(-1, -1), 1e-3, 3, action=booth(), **run)
    with pytest.raises(Diverged):
        descend(rosenbrock().loss, point(math.nan, 1), 1e-3, 3, action=rosenbrock(), **run)
    descend(rosenbrock().loss, point(1, 1), 1e-3, 3, action=rosenbrock(), **run)


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(s, d) for d, least in ((torch.float32, 1e-2), (torch.float64, 1e-6)) for s in (least, 1.0, 30.0)],
)
def test_rounding_is_no_change_of_the_loss(scale, dtype) -> None:
    """Near a minimum and far out the loss is known less well than to ε|L|; exact teleports pass at both."""
    for action, minimum in ((rosenbrock(), (1, 1)), (booth(), (1, 3))):
        starts = (point(*minimum) + points(50, scale)).to(dtype)
        path = descend(action.loss, starts, 1e-9, 1, action=action, schedule=at(0))
        record = path.teleports[0]
        assert set(record.reason) == {"exact optimum"} and bool(record.accepted.all())
        assert record.after.dtype == dtype


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_a_slightly_wrong_map_is_refused_at_every_point(scale) -> None:
    """The twin: a map that is off by 1e-9 of the point."""

    def search(action, x, generator):
        found = AscentSettings()(action, x)
        return replace(found, point=found.point * (1 + 1e-9))

    for action, minimum in ((rosenbrock(), (1, 1)), (booth(), (1, 3))):
        starts = point(*minimum) + points(50, scale)
        path = descend(action.loss, starts, 1e-9, 1, action=action, schedule=at(0), teleport=search)
        assert set(path.teleports[0].reason) == {"the loss changed"}
        loose = descend(
            action.loss, starts, 1e-9, 1, action=action, schedule=at(0), teleport=search, tolerance=1e-3
        )
        assert bool(loose.teleports[0].accepted.all())


@pytest.mark.parametrize("optimizer", ["gd", "adagrad"])
def test_with_the_guard_no_teleport_makes_the_next_step_worse(optimizer) -> None:
    lr = 2e-3 if optimizer == "gd" else 0.5
    starts = points(20, 0.7)
    run = {"action": rosenbrock(), "schedule": at(3)}
    plain = descend(rosenbrock().loss, starts, lr, 4, optimizer)
    guarded = descend(rosenbrock().loss, starts, lr, 4, optimizer, **run, guard=True)
    reckless = descend(rosenbrock().loss, starts, lr, 4, optimizer, **run)
    worst = plain.final_loss.nan_to_num(nan=math.inf)
    assert bool((guarded.final_loss <= worst * (1 + 1e-12)).all())
    assert not bool((reckless.final_loss <= worst).all())
    record = guarded.teleports[0]
    assert bool(record.accepted.any()) and record.rejected > 0
    assert bool((record.radius <= reckless.teleports[0].radius * (1 + 1e-12)).all())


def test_the_guard_refuses_by_name_what_a_trial_step_speaks_against() -> None:
    """Rate 0.11 all but diverges along the steep axis, to which the ascent leads."""

    def search(action, x, generator):
        return AscentSettings()(action, x)

    run = {"action": booth(), "schedule": at(1), "teleport": search}
    path = descend(booth().loss, point(5, -5), 0.11, 3, **run, guard=True)
    assert path.teleports[0].reason == "a trial step from there ends higher"
    assert bits(path.points) == bits(descend(booth().loss, point(5, -5), 0.11, 3).points)
    assert float(descend(booth().loss, point(5, -5), 0.11, 3, **run).final_loss) > float(path.final_loss)


def test_teleports_by_general_ascent_of_a_non_compact_group() -> None:
    action = product()
    settings = {"action": action, "schedule": every(5)}
    path = descend(action.loss, points(5, 1.0), 0.01, 30, teleport=AscentSettings(radius=0.3), **settings)
    assert all(bool((record.gain >= 1).all()) for record in path.teleports)
    assert all(bool((record.radius <= 0.3 + 1e-12).all()) for record in path.teleports)
    with pytest.raises(SymmetryError, match="not compact"):
        descend(action.loss, points(5), 0.01, 3, teleport=AscentSettings(), **settings)
    with pytest.raises(SymmetryError, match="closed form"):
        descend(action.loss, points(5), 0.01, 3, teleport="exact", **settings)


def test_another_objective_can_be_minimised() -> None:
    lr = 2e-3
    settings = AscentSettings(objective=loss_after_step(lr), minimise=True, steps=40)
    run = {"action": rosenbrock(), "schedule": at(0)}
    starts = points(10, 0.7)
    path = descend(rosenbrock().loss, starts, lr, 1, teleport=settings, **run)
    assert bool((path.final_loss <= descend(rosenbrock().loss, starts, lr, 1).final_loss).all())
    assert path.settings["teleport"]["objective"] == "loss_after_step(0.002, steps=1)"


def test_the_same_seed_gives_the_same_bits_and_touches_no_global_state() -> None:
    state = torch.get_rng_state()

    def run(seed):
        return descend(
            booth().loss, points(3, 5.0), 0.01, 30, "gd", booth(), every(10), "paper", seed=seed
        ).points

    assert torch.equal(run(3), run(3))
    assert torch.equal(run(3), run(torch.Generator().manual_seed(3)))
    assert not torch.equal(run(3), run(4))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_start_is_not_changed() -> None:
    start = point(5, -5)
    descend(booth().loss, start, 0.08, 10, action=booth(), schedule=at(4))
    assert start.tolist() == [5, -5] and start.grad is None


def test_weight_decay_and_teleports_together_are_warned_about() -> None:
    def make(p):
        return torch.optim.SGD(p, lr=0.01, weight_decay=0.1)

    with pytest.warns(UserWarning, match="weight decay"):
        descend(booth().loss, point(5, -5), None, 2, make, booth(), at(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        descend(booth().loss, point(5, -5), None, 2, make)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start": point(5, -5).half()}, "float32"),
        ({"start": torch.tensor(3.0)}, "scalar"),
        ({"steps": -1}, "number of steps"),
        ({"steps": 2.5}, "number of steps"),
        ({"lr": 0.0}, "rate"),
        ({"lr": None}, "rate"),
        ({"optimizer": "newton"}, "newton"),
        ({"optimizer": lambda p: torch.optim.SGD(p, lr=1)}, "lr=None"),
        ({"optimizer": lambda p: torch.optim.SGD([torch.zeros(2)], lr=1), "lr": None}, "no others"),
        ({"action": None, "schedule": at(1)}, "needs an action"),
        ({"teleport": "best", "schedule": at(1)}, "best"),
        ({"tolerance": -1.0}, "tolerance"),
        ({"on_failure": "stop"}, "on_failure"),
        ({"loss_fn": lambda x: x.square().sum()}, None),
        ({"loss_fn": lambda x: x.square()}, "one for each point"),
        ({"start": points(3), "loss_fn": lambda x: x.square().sum()}, "one for each point"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_words(change, says) -> None:
    settings = {"loss_fn": booth().loss, "start": point(5, -5), "lr": 0.08, "steps": 3, "action": booth()}
    settings |= change
    if says is None:
        settings.pop("action")
        descend(**settings)
    else:
        with pytest.raises(SymmetryError, match=says):
            descend(**settings)


def test_no_steps_give_the_start() -> None:
    path = descend(booth().loss, point(5, -5), 0.08, 0, action=booth(), schedule=every(1))
    assert path.points.tolist() == [[5, -5]] and path.teleports == ()


def test_a_bar_is_shown_only_when_asked_for(capsys) -> None:
    descend(booth().loss, point(5, -5), 0.08, 5)
    assert capsys.readouterr() == ("", "")
    slow = 0

    def loss(x):
        nonlocal slow
        slow += 1
        if slow < 8:
            time.sleep(0.25)
        return booth().loss(x)

    descend(loss, point(5, -5), 0.08, 8, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "step" in err


@pytest.mark.gpu
def test_it_runs_on_the_gpu() -> None:
    start = point(5, -5).cuda()
    path = descend(booth().loss, start, 0.08, 10, action=booth(), schedule=at(4))
    assert path.points.device.type == "cuda"
    assert float(path.final_loss) == pytest.approx(9.45e-4, rel=1e-3)


def test_a_loss_in_two_variables_with_several_symmetries_takes_the_one_given() -> None:
    action = derived("x**2 + 9*y**2")
    path = descend(action.loss, point(3, 0.1), 0.05, 1, action=action, schedule=at(0))
    torch.testing.assert_close(path.teleports[0].after[0], point(0)[0], rtol=0, atol=1e-12)
