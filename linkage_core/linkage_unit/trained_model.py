"""A match model trained on labelled pairs: its file, its card, and what it says of a pattern. Zone: linkage_unit.

The file is canonical JSON of numbers: no code is loaded, and a night needs no scikit-learn. A logistic regression is
a coefficient a feature; gradient boosting is a start and trees laid one behind the other. Both say log-odds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from linkage_core.errors import NightlinkError
from linkage_core.linkage_unit.kernel_compilation import CompiledKernel
from linkage_core.linkage_unit.pattern_features import evidence_digest, feature_names
from linkage_core.protocol.evidence_spec import evidence_of
from linkage_core.protocol.linkage_protocol import LinkageProtocol
from linkage_core.protocol.protocol_mistakes import DIGEST_PATTERN

Floats = npt.NDArray[np.float64]
Number = Annotated[float, Field(allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0, lt=1 << 31)]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN)]
Method = Literal["logistic_regression", "gradient_boosting"]

MOST_MODEL_BYTES = 1 << 24


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeldOutFigures(_Frozen):
    """How the model did on the people that it was not shown, pair by pair and before any one-to-one."""

    matches: Index
    non_matches: Index
    average_precision: Number
    recall_at_precision_95: Number
    recall_at_precision_99: Number
    log_loss: Number


class ModelCard(_Frozen):
    """What a model was made of and how good it was.

    ``evidence_sha256`` (:func:`~linkage_core.linkage_unit.pattern_features.evidence_digest`) and ``features`` must be
    those of the night; ``protocol_fingerprint`` says under which protocol the labelled pairs were encoded, and
    ``training_sha256`` is the digest of their features and labels. ``held_out`` are figures of the same training on
    four fifths of the people, measured on the others.
    """

    method: Method
    features: tuple[str, ...] = Field(min_length=1)
    evidence_sha256: Digest
    protocol_fingerprint: Digest
    training_sha256: Digest
    matches: Index
    non_matches: Index
    held_out: HeldOutFigures
    settings: dict[str, Number]
    made_with: str


class LinearScore(_Frozen):
    """Log-odds as ``intercept`` plus one coefficient a feature."""

    intercept: Number
    coefficients: tuple[Number, ...]


class TreeScore(_Frozen):
    """Log-odds as ``start`` plus the values of the leaves that a row of features comes to, one a tree.

    Node ``n`` sends a row to node ``left[n]`` where its feature ``feature[n]`` is at most ``threshold[n]``, to
    ``right[n]`` otherwise; children come after their parent, and a leaf is its own child. ``roots`` are the trees'
    first nodes.
    """

    start: Number
    roots: tuple[Index, ...]
    feature: tuple[Index, ...]
    threshold: tuple[Number, ...]
    left: tuple[Index, ...]
    right: tuple[Index, ...]
    value: tuple[Number, ...]

    @model_validator(mode="after")
    def _walks_end(self) -> Self:
        nodes = len(self.feature)
        if {len(self.threshold), len(self.left), len(self.right), len(self.value)} != {nodes}:
            raise ValueError("nodes of unequal lists")
        if any(root >= nodes for root in self.roots):
            raise ValueError("a root that is no node")
        for node, (left, right) in enumerate(zip(self.left, self.right, strict=True)):
            is_leaf = left == right == node
            if not is_leaf and not (node < left < nodes and node < right < nodes):
                raise ValueError("a child that is not after its parent")
        return self


class TrainedModel(_Frozen):
    """A model as its file holds it: the card, and one score."""

    format: Literal["nightlink-trained-model-1"] = "nightlink-trained-model-1"
    card: ModelCard
    linear: LinearScore | None = None
    trees: TreeScore | None = None

    @model_validator(mode="after")
    def _fits_its_card(self) -> Self:
        width = len(self.card.features)
        if (self.linear is None) != (self.card.method != "logistic_regression") or (self.trees is None) != (
            self.card.method != "gradient_boosting"
        ):
            raise ValueError("a score of another method than the card's")
        if self.linear is not None and len(self.linear.coefficients) != width:
            raise ValueError("coefficients that are not one a feature")
        if self.trees is not None and any(f >= width for f in self.trees.feature):
            raise ValueError("a node of a feature that is not there")
        return self


def write_model(model: TrainedModel) -> bytes:
    """The file: RFC 8785 canonical JSON, in which every float comes back as it was."""
    return rfc8785.dumps(model.model_dump(mode="json", exclude_none=True))


def model_sha256(data: bytes) -> str:
    """The model's fingerprint: SHA-256 of its file, in hex."""
    return hashlib.sha256(data).hexdigest()


def read_model(data: bytes, sha256: str | None = None) -> TrainedModel:
    """Read a model's file.

    Parameters
    ----------
    data : bytes
        Of the file.
    sha256 : str, optional
        The fingerprint that it must have, in hex.

    Raises
    ------
    NightlinkError
        E-MATCH-MODEL when the fingerprint is another, or the bytes are no model.
    """
    found = model_sha256(data)
    if sha256 is not None and found != sha256:
        raise _refused(
            f"a model with the fingerprint {found[:12]}...", f"{sha256[:12]}..., as the settings say"
        )
    try:
        return TrainedModel.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise _refused(f"in {where}: {first['msg']}", "a file that train-model wrote") from None


def check_model(model: TrainedModel, protocol: LinkageProtocol) -> None:
    """Refuse a model that does not read what this protocol's comparison vectors say.

    Raises
    ------
    NightlinkError
        E-MATCH-MODEL for other features, or the same names over other passes, tokens or filters.
    """
    features = feature_names(evidence_of(protocol))
    if model.card.features != features:
        odd = sorted(set(model.card.features) ^ set(features))
        example = odd[0] if odd else "another order"
        raise _refused(
            f"a model of {len(model.card.features)} other features ({example})",
            f"{len(features)} of the protocol",
        )
    digest = evidence_digest(protocol)
    if model.card.evidence_sha256 != digest:
        raise _refused(
            f"a model trained on the evidence {model.card.evidence_sha256[:12]}...",
            f"{digest[:12]}..., the protocol's",
        )


def log_odds(model: TrainedModel, features: Floats) -> Floats:
    """What the trained estimator's ``decision_function`` said, without it: float64, shape (rows,).

    Trees are added in their order, so gradient boosting agrees with scikit-learn to the bit; a regression's sum runs
    over the features in their order and agrees to rounding.
    """
    out = np.zeros(len(features))
    if model.linear is not None:
        out += model.linear.intercept
        for f, coefficient in enumerate(model.linear.coefficients):
            out += coefficient * features[:, f]
    if model.trees is not None:
        trees = model.trees
        index = [
            np.array(numbers, np.intp) for numbers in (trees.roots, trees.feature, trees.left, trees.right)
        ]
        _walk_trees(
            np.ascontiguousarray(features), trees.start, *index,
            np.array(trees.threshold, np.float64), np.array(trees.value, np.float64), out,
        )  # fmt: skip
    return out


def _write_tree_sums(  # pragma: no cover - compiled; held to its twin in tests/reference
    features: Floats,
    start: float,
    roots: npt.NDArray[np.intp],
    feature: npt.NDArray[np.intp],
    left: npt.NDArray[np.intp],
    right: npt.NDArray[np.intp],
    threshold: Floats,
    value: Floats,
    out: Floats,
) -> None:
    for k in range(features.shape[0]):
        total = start
        for t in range(roots.shape[0]):
            node = roots[t]
            while left[node] != node:
                node = left[node] if features[k, feature[node]] <= threshold[node] else right[node]
            total += value[node]
        out[k] = total


_walk_trees: Callable[..., None] = CompiledKernel(_write_tree_sums)


def _refused(found: str, expected: str) -> NightlinkError:
    return NightlinkError(
        "E-MATCH-MODEL",
        found=found,
        expected=expected,
        remedy="Name the model that was trained under this protocol, with its fingerprint, or train one anew.",
    )
