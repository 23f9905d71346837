"""Settings of algorithms, policies and tasks, from their signatures."""

from __future__ import annotations

import re
import sys
from functools import partial

import pytest

import agents.algorithms
import agents.policies
from agents.discovery import ALGORITHM, POLICY, find_algorithm, find_policy, settings, variants
from agents.policies.transformer import TransformerPolicy
from cli import read
from textgen_env.errors import UserError
from textgen_env.tasks import tasks

OWN = """
from agents.algorithms import Algorithm
class Good(Algorithm):
    def __init__(self, policy, oracle, reward, rate=0.5): pass
class NoDefault(Algorithm):
    def __init__(self, policy, rate): pass
class KeywordOnly(Algorithm):
    def __init__(self, policy, *, rate): pass
class Noise(Algorithm):
    def __init__(self, policy, generator): pass
class Anything(Algorithm):
    def __init__(self, policy, *args, rate=0.5, **kwargs): pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of algorithms outside the project."""
    (tmp_path / "own_algorithms.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "own_algorithms"
    sys.modules.pop("own_algorithms", None)


def test_settings_of_every_name_have_defaults():
    for package, provided in ((agents.algorithms, ALGORITHM), (agents.policies, POLICY)):
        for variant in variants(package).values():
            assert not settings(variant, provided).keys() & set(provided)
    for task in tasks().values():
        assert settings(task.load)


def test_settings_exclude_what_the_caller_provides(own):
    assert settings(find_algorithm(f"{own}.Good"), ALGORITHM) == {"rate": 0.5}
    assert settings(find_algorithm(f"{own}.Anything"), ALGORITHM) == {"rate": 0.5}
    assert read("dagger", [f"algorithm={own}.Good", "algorithm.rate=0.1"]).algorithm.rate == 0.1


@pytest.mark.parametrize(
    ("name", "parameter", "hint"),
    [
        ("NoDefault", "rate", "give it a default"),
        ("KeywordOnly", "rate", "give it a default"),
        ("Noise", "generator", "clock.uniform"),
    ],
)
def test_a_setting_without_a_default_is_refused(own, name, parameter, hint):
    words = [f"algorithm={own}.{name}"]
    message = (
        f"{name}: parameter '{parameter}' has no default and is not one of policy, oracle, reward; "
    )
    with pytest.raises(UserError, match=re.escape(message)) as error:
        read("dagger", words)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)


def test_keywords_of_a_partial_are_defaults(own):
    algorithm = find_algorithm(f"{own}.NoDefault").func
    assert settings(partial(algorithm, rate=0.25), ALGORITHM) == {"rate": 0.25}


def test_settings_of_policies_and_tasks_need_defaults_too():
    class Deep(TransformerPolicy):
        def __init__(self, vocabulary_size, depth): ...

    def load(folder, size=3): ...

    with pytest.raises(
        UserError, match=r"Deep: parameter 'depth' has no default and is not one of vocabulary_size"
    ):
        settings(partial(Deep, layers=1), POLICY)
    with pytest.raises(
        UserError, match=r"load: parameter 'folder' has no default; give it a default"
    ):
        settings(load)


@pytest.mark.parametrize(
    ("find", "name", "message"),
    [
        (
            find_algorithm,
            "imitkd_ful",
            "unknown algorithm 'imitkd_ful'; did you mean 'imitkd_full'?",
        ),
        (
            find_policy,
            "transfomer",
            "unknown architecture 'transfomer'; did you mean 'transformer'?",
        ),
    ],
)
def test_an_unknown_name_is_reported_with_the_nearest_one(find, name, message):
    with pytest.raises(UserError, match=re.escape(message)):
        find(name)
