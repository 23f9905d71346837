"""The worked example of a policy in one file outside the packages keeps the policies' contract."""

import pytest
import torch

from agents.discovery import POLICY, find_policy, help_lines, settings
from agents.model import build_policy
from support.commands import ROOT
from support.policies import V
from support.policy_contract import *  # noqa: F403
from textgen_env.data.vocabulary import Vocabulary
from textgen_env.errors import UserError
from textgen_env.imports import check_named

PATH = "bag_of_words.BagOfWords"
OWN = """
from torch import nn
class Plain: pass
class NoVocabulary(nn.Module):
    def __init__(self, width=3): super().__init__()
class NoStep(nn.Module):
    vocabulary_size = feature_width = 1
    features = head = start = print
    def __init__(self, vocabulary_size, width=3): super().__init__()
"""


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The example and a user's file can be imported."""
    (tmp_path / "own_policies.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "examples"))


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return find_policy(PATH).func(V).eval()


def test_settings_and_help_come_from_its_constructor():
    assert settings(find_policy(PATH), POLICY) == {"width": 64}
    assert help_lines(find_policy(PATH))["width"].startswith("size of the embeddings")
    assert settings(find_policy("own_policies:NoStep"), POLICY) == {"width": 3}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Plain", "policy own_policies.Plain is not a subclass of torch.nn.Module"),
        ("NoStep", "policy own_policies.NoStep has no step; see textgen_env.types.Policy"),
        ("NoVocabulary", "its constructor needs a parameter vocabulary_size"),
        ("Missing", "cannot import policy 'own_policies.Missing'"),
    ],
)
def test_a_class_that_is_no_policy_is_refused_in_one_line(name, message):
    vocabulary = Vocabulary.from_words(["a"])
    with pytest.raises(UserError) as error:
        build_policy(f"own_policies.{name}", {}, vocabulary, seed=0)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_path_of_a_run_folder_is_imported_only_if_the_user_names_it():
    check_named("policy", "transformer", "run")
    find_policy("own_policies.NoStep")
    check_named("policy", "own_policies.NoStep", "run")
    with pytest.raises(UserError, match=r"^run: its policy .* add imports=\[own_policies.Other"):
        check_named("policy", "own_policies.Other", "run")
