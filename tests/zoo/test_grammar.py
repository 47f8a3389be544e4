"""The grammar: what a pattern means, step by step."""

import pytest

from kerascnn import pattern
from kerascnn.zoo.grammar import parse_pattern
from kerascnn.zoo.layers import weightless

CASES = {
    "FC": "FC",
    "[FC-RELU]*2-FC": "FC RELU FC RELU FC",
    "[CONV-RELU-POOL]*2-FC": "CONV RELU POOL CONV RELU POOL FC",
    "[[CONV-RELU]*2-POOL]*2-[FC-RELU]*1-FC": "CONV RELU CONV RELU POOL CONV RELU CONV RELU POOL FC RELU FC",
    "conv - relu - fc": "CONV RELU FC",
    "[CONV]*0-FC": "FC",
    "CONV*3-FC": "CONV CONV CONV FC",
    "[CONV-POOL?]*2-FC": "CONV POOL CONV POOL FC",
    "[CONV-NORM-TANH-MEAN]-DROPOUT-FC": "CONV NORM TANH MEAN DROPOUT FC",
}


@pytest.mark.parametrize("text", CASES)
def test_patterns_unfold(text):
    assert " ".join(parse_pattern(text)) == CASES[text]


def test_letters_are_counts_and_question_marks_are_optional():
    text = "[[CONV-RELU]*N-POOL?]*M-[FC-RELU]*K-FC"
    steps = parse_pattern(text, {"N": 1, "M": 2, "K": 1}, optional=False)
    assert steps == ["CONV", "RELU", "CONV", "RELU", "FC", "RELU", "FC"]


def test_a_linear_classifier_is_the_smallest_case():
    model = pattern("FC", input_shape=(32, 32, 3), classes=10)
    assert model.count_params() == 32 * 32 * 3 * 10 + 10
    assert model.get_layer("features").output.shape == (None, 3072)


def test_a_multilayer_perceptron():
    model = pattern("[FC-RELU]*1-FC", units=100, input_shape=(8, 8, 1))
    assert model.count_params() == 64 * 100 + 100 + 100 * 10 + 10


def test_lecture_network_shapes():
    model = pattern("[[CONV-RELU]*2-POOL]*3-[FC-RELU]*2-FC", filters=(32, 64, 128), units=(256, 128))
    convs = [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    dense = [(4 * 4 * 128, 256), (256, 128), (128, 10)]
    assert model.count_params() == sum(9 * a * b + b for a, b in convs) + sum(a * b + b for a, b in dense)
    assert [model.get_layer(f"stage{i}").output.shape[1:] for i in (1, 2, 3)] == [(16, 16, 32), (8, 8, 64), (4, 4, 128)]
    assert {"input", "features", "logits", "probs"} <= {layer.name for layer in model.layers}


def test_the_last_stage_may_end_without_a_pool():
    model = pattern("CONV-RELU-POOL-CONV-RELU-FC", filters=(4, 8))
    assert model.get_layer("stage2").output.shape == (None, 16, 16, 8)


def test_vgg16_is_a_pattern(rng):
    """Two stages of two and three of three convolutions, written out: the count of the paper."""
    text = "[[CONV-RELU]*2-POOL]*2-[[CONV-RELU]*3-POOL]*3-[FC-RELU-DROPOUT]*2-FC"
    with weightless():
        model = pattern(text, filters=(64, 128, 256, 512, 512), units=4096, input_shape=(224, 224, 3), classes=1000)
    assert model.count_params() == 138_357_544


def test_errors_point_at_the_position():
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        pattern("[CONV-RELU-POOOL]*2-FC")
    _, text, caret = str(caught.value).split("\n")
    assert text[caret.index("^") :].startswith("POOOL")


def test_keywords_are_letters_or_known():
    with pytest.raises(ValueError, match="Unknown argument of pattern 'filter'. Did you mean filters"):
        pattern("[CONV-RELU]*N-FC", N=2, filter=8)
    assert len(pattern("[CONV-RELU]*N-FC", N=2, filters=8, input_shape=(8, 8, 1)).layers) == 9
