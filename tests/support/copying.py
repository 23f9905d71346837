"""Students of Copy-v0, trained as the command line would."""

from agents.evaluation.outputs import generate_texts
from agents.generation.decoder import Decoder
from agents.runs.machine import resolve_machine
from agents.runs.run import Run
from agents.runs.student import build_student
from agents.runs.task import build_task
from agents.runs.teacher import Teacher
from agents.runs.training import build_algorithm
from cli import read
from dagger import distill
from textgen_env.metrics.scores import corpus_score
from textgen_env.tasks.task import expert

SHORT = ["env=Copy-v0", "env.symbols=5", "env.max_length=5", "env.horizon=8"]


def made(words):
    """What the command line says: configuration, task, fresh or given student."""
    config = read("dagger", words)
    task = build_task(config)
    return config, task, build_student(config, task)


def fit(folder, words):
    """The test accuracy of a student trained as the command line says."""
    config, task, student = made(words)
    on, teacher = resolve_machine(config), expert(task)
    run = Run(folder, config, on, task, Teacher(teacher, teacher.demonstrate, {}), student)
    distill(run, build_algorithm(config, task, student, teacher))
    texts = generate_texts(Decoder(student, 1, *on), task, task.splits["test"])
    (accuracy,) = corpus_score(task.metric, texts, task.splits["test"].texts.references).values()
    return accuracy.value
