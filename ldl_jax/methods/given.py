"""The targets that a method can be given in the place of its own: people's votes, or an encoding.

A method that compares its distribution with another one takes any. It has the hyper-parameters
`target` and `target_smoothing`, and `TAKE` lists them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from ldl_jax import encodings
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import check_choice, check_number
from ldl_jax.methods.targets import Encoder, gaussian_encoder, of_labels

OWN, VOTES = "own", "votes"
_SIGMA = 2.0  # of "gaussian", for methods without a sigma of their own
_BY_LABEL = (
    *("beta", "binomial", "exponential", "hl_gauss", "laplace", "one_hot", "poisson", "sord"),
    *("triangular", "two_hot"),
)
ENCODINGS: dict[str, Callable[..., jax.Array]] = {n: getattr(encodings, n) for n in _BY_LABEL}
TARGETS = (OWN, VOTES, "gaussian", *ENCODINGS)


class Given(NamedTuple):
    """The target that a method is given.

    Attributes:
      target: "own" is the method's; "votes" the votes on each picture; "gaussian" a Gaussian of the
        picture's own σ, or else the method's; another one is the encoding of that name, at its
        defaults.
      target_smoothing: s of `encodings.from_votes`, in the label's unit; 0 for the votes as they
        are.
    """

    target: str = OWN
    target_smoothing: float = 0.0

    def checked(self) -> "Given":
        """Returns these settings, or raises ValueError where one is none."""
        check_choice("target", self.target, TARGETS)
        check_number("target_smoothing", self.target_smoothing, low=0.0)
        smooths = isinstance(self.target_smoothing, int | float) and self.target_smoothing != 0
        if self.target != VOTES and smooths:
            raise ValueError(
                "method.target_smoothing: smooths votes, so it needs method.target=votes; got "
                f"{self.target_smoothing!r} with {self.target!r}"
            )
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The keys of a batch that the target needs beside labels and sigma."""
        return (VOTES,) if self.target == VOTES else ()

    def encoder(self, space: LabelSpace, sigma: float | None = None) -> Encoder:
        """Returns the encoder of this target, which is not the method's own, [B, K].

        `sigma` is the method's, where it has one.
        """
        if self.target == VOTES:
            return self._of_votes(space)
        if self.target == "gaussian":
            if sigma is None or (isinstance(sigma, int | float) and sigma == 0):
                sigma = _SIGMA
            return gaussian_encoder(space, sigma)
        return of_labels(lambda labels: ENCODINGS[self.target](labels, space))

    def _of_votes(self, space: LabelSpace) -> Encoder:
        def encode(
            labels: jax.Array, sigma: jax.Array, votes: jax.Array | None = None
        ) -> jax.Array:
            del labels, sigma
            if votes is None:
                raise ValueError("votes: the target is the votes on each picture, got None")
            return encodings.from_votes(votes, space, self.target_smoothing)

        return encode
