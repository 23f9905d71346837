"""A task for the oracles, and a query for them."""

import pytest
from torch import Tensor

from support.oracles import random_query
from support.tiny import tiny_task
from textgen_env.tasks.task import Task


@pytest.fixture
def task() -> Task:
    """A few sentence pairs with one to three references."""
    return tiny_task()


@pytest.fixture
def query(task: Task) -> tuple[Tensor, Tensor, Tensor]:
    """Source, prefix and mask of ``random_query``."""
    return random_query(task)
