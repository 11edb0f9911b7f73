"""What a module of figures has to hold; that each does is tested in tests/reports/test_stage_modules.py."""

from types import SimpleNamespace

from trajlab.figures.panel import Animated, Drawn


def test_protocols__are_met_by_modules_with_the_function():
    still = SimpleNamespace(panels=lambda data: [])
    moving = SimpleNamespace(panels=lambda data: [], frames=lambda data, **select: None)
    assert isinstance(still, Drawn) and not isinstance(still, Animated)
    assert isinstance(moving, Animated) and not isinstance(SimpleNamespace(), Drawn)
