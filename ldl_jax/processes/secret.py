"""A secret that the processes of one run share, by which they know one another."""

import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable

VARIABLE = "LDL_JAX_SECRET"  # of the environment


@dataclasses.dataclass(frozen=True)
class Secret:
    """The source from which a process takes the secret.

    Attributes:
      read: returns it, or b"" where it is not there yet.
      source: where that is, for messages.
      patience: the seconds in which another one may appear there.
    """

    read: Callable[[], bytes]
    source: str
    patience: float = 0.0


def nonce() -> str:
    """Returns a word that nobody has used before, so that an old proof proves nothing."""
    return secrets.token_hex(16)


def sign(key: bytes, *parts: object) -> str:
    """Returns the proof that whoever says these parts, of JSON's types, knows the key."""
    return hmac.new(key, json.dumps(parts).encode(), hashlib.sha256).hexdigest()


def signed(key: bytes, proof: object, *parts: object) -> bool:
    """Returns whether a proof is that of the key for these parts."""
    known = sign(key, *parts).encode()
    return bool(key) and isinstance(proof, str) and hmac.compare_digest(proof.encode(), known)
