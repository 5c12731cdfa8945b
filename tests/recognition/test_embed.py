from functools import cache

import numpy as np
import pytest

from recognition import embed
from recognition.align import aligned_crops
from recognition.specs.files import load_specs
from recognition.specs.spec import EmbedderSpec
from tests.faces import EVERYBODY

EMBEDDERS = ["arcface_w600k_mbf", "arcface_mobilefacenet_y1", "edgeface_xxs", "mobileface_v2"]

# Cosines of the first face of group_of_six.jpg (left to right) with the five others, when this was written.
COSINES = {
    "arcface_mobilefacenet_y1": [-0.0052, 0.0455, 0.0244, -0.0684, 0.0062],
    "arcface_w600k_mbf": [0.1512, 0.0151, 0.0233, 0.0269, 0.1068],
    "edgeface_xxs": [0.0860, -0.1032, 0.0601, 0.0299, 0.0482],
    "mobileface_v2": [0.1096, 0.0251, 0.0746, -0.0610, 0.1510],
}


def spec_of(name: str) -> EmbedderSpec:
    spec = load_specs()[name]
    assert isinstance(spec, EmbedderSpec)
    return spec


@pytest.fixture(scope="module")
def crops(find, group):
    landmarks = find(group).landmarks
    return aligned_crops(group, landmarks[np.argsort(landmarks[:, 2, 0])])


def embeddings(runner, spec, crops) -> np.ndarray:
    return embed.parse(spec, [runner.run(tensor[None]) for tensor in embed.prepare(spec, crops)])


@pytest.mark.parametrize("name", EMBEDDERS)
def test_six_people_as_they_were(runners, crops, name):
    spec = spec_of(name)
    vectors = embeddings(runners(name), spec, crops)
    assert vectors.shape == (6, spec.embedding_size)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[1:] @ vectors[0], COSINES[name], atol=0.01)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_batch_equals_single(runners, crops, name):
    spec = spec_of(name)
    (together,) = runners(name).run(embed.prepare(spec, crops))
    batched = embed.parse(spec, [[row] for row in together])
    assert np.sum(batched * embeddings(runners(name), spec, crops), axis=1).min() > 0.9999


def test_batch_equals_single_with_our_own(runners):
    spec = spec_of("nano_embed")
    crops = np.concatenate([aligned_crops(one.image(), one.landmarks[None]) for one in EVERYBODY])
    (together,) = runners("nano_embed").run(embed.prepare(spec, crops))
    batched = embed.parse(spec, [[row] for row in together])
    alone = embeddings(runners("nano_embed"), spec, crops)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-5)
    assert np.sum(batched * alone, axis=1).min() > 0.9999


@pytest.fixture(scope="module")
def pair_crops(lfw, pairs, central):
    """The aligned faces (2,112,112,3) of each of a hundred pairs of lfw_dev, and whether they are one's."""
    crop = cache(lambda photo: aligned_crops(lfw(photo), central(lfw(photo)))[0])
    return [(np.stack((crop(first), crop(second))), same) for first, second, same in pairs]


@pytest.mark.parametrize("name", EMBEDDERS)
def test_same_and_different_people(runners, pair_crops, name):
    """At the 1:1 threshold of the spec nearly all are told right; swapped channels would make it worse."""
    spec = spec_of(name)
    cosines, swapped, truth = [], [], np.array([same for _, same in pair_crops])
    for number, (crops, same) in enumerate(pair_crops):
        first, second = embeddings(runners(name), spec, crops)
        cosines.append(first @ second)
        if same and number < 20:
            (other,) = embeddings(runners(name), spec, crops[1:, :, :, ::-1])
            swapped.append(first @ other)
    told_same = np.array(cosines) > spec.thresholds.cosine_at(spec.thresholds.verification)
    assert np.mean(told_same == truth) >= 0.95
    assert np.mean(swapped) < np.mean(cosines[:20]) - 0.01


def test_channels_and_normalisation():
    crop = np.zeros((1, 112, 112, 3), np.uint8)
    crop[..., 2] = 255
    tensor = embed.prepare(spec_of("arcface_w600k_mbf"), crop)
    assert tensor.flags.c_contiguous
    assert tensor[0, :, 0, 0].tolist() == [1, -1, -1]
    assert embed.prepare(spec_of("mobileface_v2"), crop)[0, :, 0, 0].tolist() == [255, 0, 0]


def test_no_crop_no_vector():
    spec = spec_of("edgeface_xxs")
    assert embed.prepare(spec, np.empty((0, 112, 112, 3), np.uint8)).shape == (0, 3, 112, 112)
    assert embed.parse(spec, []).shape == (0, 512)


def test_how_long_the_network_s_own_vectors_are():
    spec, long = spec_of("edgeface_xxs"), np.zeros(512, np.float32)
    long[:2] = 3, 4
    outputs = [[long], [long * 2], [long * np.nan], [long * 0]]
    np.testing.assert_allclose(embed.lengths(spec, outputs), [5, 10, np.nan, 0])
    told = spec.model_copy(update={"feature_norm": True})
    np.testing.assert_allclose(embed.lengths(told, [[long / 5, np.array([[17.5]], np.float32)]]), [17.5])
    assert embed.lengths(spec, []).shape == (0,)
