"""Times a last layer computed for two tokens against one for all: `python -m benchmarks.first_token [ARCHITECTURE…]`.

Both graphs hold the same seeded weights, of the sizes of MiniLM (6 layers, 384 wide) or, with `--base`, of those of
BERT base (12 layers, 768 wide; ModernBERT has 22), in fp32 on one thread, and take turns. The ratio is that of the
medians of processor time, which other programs hardly move: above 1, the shorter layer is faster.
"""

import argparse
import statistics
import sys
import time
from typing import Any, Final

import numpy as np
import openvino as ov
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from mlapi.bundling.export import convert
from mlapi.bundling.first_token import WholeModel, for_tracing

ARCHITECTURES: Final = ("bert", "roberta", "xlm-roberta", "electra", "mpnet", "albert", "deberta-v2", "modernbert")
SHAPES: Final = ((1, 16), (1, 128), (8, 16))
ROUNDS: Final = 30

_MINI: Final = {"hidden_size": 384, "num_attention_heads": 12, "num_hidden_layers": 6, "intermediate_size": 1536}
_BASE: Final = {"hidden_size": 768, "num_attention_heads": 12, "num_hidden_layers": 12, "intermediate_size": 3072}
_OTHER_BASE: Final = {"modernbert": {"num_hidden_layers": 22, "intermediate_size": 1152}}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "albert": {"embedding_size": 128},
    "electra": {"embedding_size": 128},
    "deberta-v2": {  # as in version 3
        "relative_attention": True,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "modernbert": {"bos_token_id": 0, "cls_token_id": 0, "eos_token_id": 2, "sep_token_id": 2},
}


def compiled(module: torch.nn.Module) -> Any:  # noqa: ANN401  OpenVINO's classes are untyped
    """Return the module as a compiled graph."""
    return ov.Core().compile_model(
        convert(module), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    )


def ratio(graphs: dict[str, Any], texts: int, tokens: int) -> float:
    """Return how many times as long as the short form the whole takes for a batch."""
    ids = np.random.default_rng(7).integers(5, 1000, (texts, tokens))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    taken: dict[str, list[float]] = {name: [] for name in graphs}
    for turn in range(ROUNDS):
        for name in sorted(graphs, reverse=bool(turn % 2)):
            started = time.process_time()
            graphs[name](inputs)
            if turn:  # the first run of a shape prepares it
                taken[name].append(time.process_time() - started)
    return statistics.median(taken["whole"]) / statistics.median(taken["short"])


def main() -> None:
    """Print a line for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("architectures", nargs="*", metavar="ARCHITECTURE", default=ARCHITECTURES)
    parser.add_argument("--base", action="store_true", help="of the sizes of BERT base")
    arguments = parser.parse_args()
    shapes = "  ".join(f"{texts} x {tokens:>3}" for texts, tokens in SHAPES)
    sys.stdout.write(f"{'texts x tokens':<14}{shapes}\n")
    for architecture in arguments.architectures:
        sizes = _BASE | _OTHER_BASE.get(architecture, {}) if arguments.base else _MINI
        torch.manual_seed(7)
        common: dict[str, Any] = {"vocab_size": 1000, "max_position_embeddings": 514, "pad_token_id": 1}
        config = AutoConfig.for_model(architecture, **common | sizes | _OPTIONS.get(architecture, {}))
        model = AutoModelForSequenceClassification.from_config(config).eval()
        graphs = {"short": compiled(for_tracing(model, written_out=False)), "whole": compiled(WholeModel(model))}
        found = "  ".join(f"{ratio(graphs, *shape):>7.3f}" for shape in SHAPES)
        sys.stdout.write(f"{architecture:<14}{found}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
