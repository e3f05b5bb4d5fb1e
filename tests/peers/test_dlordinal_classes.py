"""Compares CDW-CE, SLACE, cumulative links, COPOC and stick-breaking with dlordinal's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from side_by_side import TOLERANCE, agree, tensor, torch

from ldl_jax import decoders, encodings, losses, metrics
from ldl_jax.methods import ordered_heads

pytest.importorskip("dlordinal", reason="dlordinal is not installed; make test-peers does it")

import dlordinal.losses as theirs
import dlordinal.metrics as their_metrics
from dlordinal.output_layers import CLM, COPOC, StickBreakingLayer


@pytest.mark.parametrize(("alpha", "margin"), [(0.5, 0.0), (1.0, 0.0), (2.0, 0.05)])
def test_cdw_ce(space, draws, alpha, margin):
    """Theirs adds 1e-8 within its logarithms."""
    loss = theirs.CDWCELoss(space.size, alpha=alpha, margin=margin)

    def ours(x, d):
        return losses.cdw_ce(x, encodings.one_hot(d["labels"], space), alpha, margin).mean()

    agree(ours, lambda x, d: loss(x, d["index"]), draws, "logits")


@pytest.mark.parametrize("alpha", [0.5, 1.0, 3.0])
def test_slace(space, draws, alpha):
    """Theirs adds 1e-9 within its logarithm, which shows where the label's probability is less."""
    loss = theirs.SLACELoss(alpha, space.size)
    near = {seed: {**draw, "logits": draw["logits"] / 4} for seed, draw in draws.items()}
    agree(
        lambda x, d: losses.slace(x, d["labels"], space, alpha).mean(),
        lambda x, d: loss(x, d["index"]),
        near,
        "logits",
    )


def thresholds(size):
    """Logits of rising thresholds from a layer like theirs, of a score of 0."""
    params = ordered_heads.rising_thresholds(size).init(jax.random.key(0), 3)
    return params["thresholds"]


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_cumulative_links(space, draws, link):
    """Their layer's probabilities of ours thresholds, in float64; the losses are of them."""
    layer = CLM(space.size, link)
    params = thresholds(space.size)
    layer.thresholds_b_.data = tensor(params["first"]).reshape(1)
    layer.thresholds_a_.data = tensor(params["roots"])
    layer.dist_ = torch.distributions.Normal(tensor(0.0), tensor(1.0))
    rise = np.concatenate([[0], np.cumsum(np.square(np.float64(params["roots"])))])
    for d in draws.values():
        score = (d["score"] - 0.5).astype(np.float64)
        with torch.no_grad():
            expected = layer(tensor(score)).numpy()
        logits = np.float32(score[:, None] - (np.float64(params["first"]) + rise))
        ranks = decoders.ranks_from_link(logits, link)
        probs = encodings.distribution_from_ranks(ranks)
        np.testing.assert_allclose(probs, expected, rtol=1e-4, atol=2e-7)
        # In float64 their difference of probabilities near 1 has no digits left, or is 0.
        target = np.where(expected > 1e-9, d["target"], 0)
        cost = -np.sum(target * np.log(np.maximum(expected, 1e-9)), -1)
        found = losses.cumulative_link(logits, target, link)
        np.testing.assert_allclose(found, cost, rtol=1e-4)


def test_copoc_s_logits(draws):
    layer = COPOC()
    for d in draws.values():
        expected = layer(tensor(d["logits"])).numpy()
        found = ordered_heads.unimodal(jnp.asarray(d["logits"]))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
        mode = expected.argmax(1)
        steps = np.diff(np.asarray(found), axis=1)
        at = np.arange(steps.shape[1])
        assert (steps[at[None] < mode[:, None]] >= 0).all()
        assert (steps[at[None] >= mode[:, None]] <= 0).all()


def test_stick_breaking_is_theirs_but_for_a_factor(space, draws):
    """Their logits have 1 - σ(η_k) once too often, and σ held within [0.1, 0.9]: ln p_k more."""
    layer = StickBreakingLayer(3, space.size)
    for d in draws.values():
        eta = np.clip(d["logits"], -2.1, 2.1).astype(np.float64)
        stop = 1 / (1 + np.exp(-eta))
        theirs_logits = layer.get_stick_logits(tensor(stop)).numpy()
        x = np.float32(-eta[:, :-1])
        probs = encodings.distribution_from_ranks(decoders.ranks_from_conditional(x))
        expected = np.exp(theirs_logits - np.log1p(-stop))
        np.testing.assert_allclose(probs[:, :-1], expected[:, :-1], rtol=2e-4, atol=1e-7)


def test_amae_mmae_and_the_quadratic_kappa(space, seeds):
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    for seed in seeds:
        rng = np.random.default_rng(seed)
        labels = np.concatenate([np.arange(space.size), rng.integers(0, space.size, 200)])
        pred = np.clip(labels + rng.integers(-3, 4, labels.shape), 0, space.size - 1)
        for ours, expected in (
            (metrics.average_mae(pred, labels, space), their_metrics.amae(labels, pred)),
            (metrics.maximum_mae(pred, labels, space), their_metrics.mmae(labels, pred)),
            (
                metrics.quadratic_weighted_kappa(pred, labels, space),
                sklearn.cohen_kappa_score(labels, pred, weights="quadratic"),
            ),
        ):
            np.testing.assert_allclose(ours, expected, **TOLERANCE)
