"""EnsembleRunner: two embedders on one crop, their unit vectors side by side as one unit vector.

A batch of plain crops goes in (BGR, 0..255, as the ensemble's spec says), each member gets it prepared as its own spec
says. Blocks for both runs; may be called from several threads.

For `concat_l2` a cosine of two such vectors is the mean of the members' cosines. For `agree` the halves are matched
apart, each in its member's space: halves() takes them apart again.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from recognition import embed
from recognition.arrays import F32
from recognition.errors import EmbeddingSpaceMismatch, SpecInvalid
from recognition.models.model_runner import ModelRunner
from recognition.reason import Reason
from recognition.specs.spec import EmbedderSpec

SPACES_JOINED_BY = "--"


class EnsembleRunner:
    """The members stay whose they are: close() leaves them open."""

    def __init__(self, spec: EmbedderSpec, members: Sequence[ModelRunner[EmbedderSpec]]) -> None:
        """Raises what check_members() raises."""
        check_members(spec, [member.spec for member in members])
        self._members = tuple(members)
        self.fallback: Reason | None = next((member.fallback for member in members if member.fallback), None)

    @property
    def device(self) -> str:
        """The CPU where one of them runs there, since that one is waited for."""
        devices = [member.device for member in self._members]
        return "cpu" if "cpu" in devices else devices[0]

    def run(self, batch: F32) -> list[F32]:
        """(n,3,h,w) float32 BGR pixels 0..255 -> [(n,d)]: unit vectors, or zeros where a member's was not usable."""
        parts = []
        for member in self._members:
            want = member.spec.input
            pixels = batch[:, ::-1] if want.color_order == "rgb" else batch
            tensor = np.ascontiguousarray((pixels - np.float32(want.mean)) * np.float32(1 / want.std))
            # In the member's own buckets: it may take one at a time alone.
            parts.append(embed.parse(member.spec, member.run_each(tensor)))
        joined = np.concatenate(parts, axis=1) / np.float32(sqrt(len(parts)))
        joined[~np.all([embed.usable(part) for part in parts], axis=0)] = 0.0
        return [np.asarray(joined, np.float32)]

    def close(self) -> None:
        return None


def check_members(spec: EmbedderSpec, members: Sequence[EmbedderSpec]) -> None:
    """Raises SpecInvalid, which says what does not fit, and EmbeddingSpaceMismatch.

    No file of probes says what an ensemble's space is: its name has to, so that with other members it is another one.
    """
    plain = (spec.input.color_order, spec.input.mean, spec.input.std) == ("bgr", 0.0, 1.0)
    if not plain:
        raise SpecInvalid(f"model {spec.name}: input: an ensemble takes plain pixels: bgr, mean 0, std 1")
    if len({member.name for member in members}) != 2:
        raise SpecInvalid(f"model {spec.name}: members: want two different models")
    for member in members:
        if member.members:
            raise SpecInvalid(f"model {spec.name}: members: {member.name} is an ensemble itself; name its members")
        if (member.crop, member.input.size) != (spec.crop, spec.input.size):
            raise SpecInvalid(
                f"model {spec.name}: members: {member.name} takes {member.crop} crops of {member.input.size}, the "
                f"ensemble {spec.crop} crops of {spec.input.size}; both members must take the same"
            )
    dim = sum(member.embedding_size for member in members)
    if spec.embedding_size != dim or spec.feature_norm:
        raise SpecInvalid(f"model {spec.name}: embedding_size: its members' add up to {dim}, and no feature_norm")
    space = SPACES_JOINED_BY.join(member.space for member in members)
    if spec.space != space:
        raise EmbeddingSpaceMismatch(
            f"model {spec.name}: says that its space is {spec.space}; of these members, in this order, it is {space}"
        )


def halves(embeddings: F32, sizes: Sequence[int]) -> list[F32]:
    """(n, sum of sizes) of an ensemble -> each member's (n, size) unit vectors; zeros stay zeros."""
    cuts = np.cumsum(sizes)[:-1]
    return [np.asarray(part * np.float32(sqrt(len(sizes)))) for part in np.split(embeddings, cuts, axis=1)]
