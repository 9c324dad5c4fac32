"""The hidden order of the arms: made from a secret whose hash is in the locked plan, so that it can be checked."""

from __future__ import annotations

import hashlib
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import FolderError, RecordError
from evaluation.records.episode import read_json, write_json

SEALED_FILE = "sealed.json"


@dataclass(frozen=True)
class SealedOrder:
    """The secret; whoever runs the trials must not see it before they are unsealed."""

    secret: str

    @classmethod
    def make(cls) -> SealedOrder:
        """Returns a new one, from the operating system's randomness."""
        return cls(secrets.token_hex(32))

    @property
    def commitment(self) -> str:
        """Hash that is in the plan."""
        return hashlib.sha256(f"ferry sealed order {self.secret}".encode()).hexdigest()

    def order(self, block: int, arms: Sequence[str]) -> tuple[str, ...]:
        """Returns the arms in the order of a block: sorted by a hash of secret, block and name."""
        return tuple(sorted(arms, key=lambda arm: self._key(f"order {block}", arm)))

    def codes(self, arms: Sequence[str]) -> dict[str, str]:
        """Returns arm -> code ("arm A", ...), for figures before the order is unsealed."""
        shuffled = sorted(arms, key=lambda arm: self._key("codes", arm))
        return {arm: f"arm {chr(ord('A') + index)}" for index, arm in enumerate(shuffled)}

    def _key(self, use: str, arm: str) -> bytes:
        return hashlib.sha256(f"{self.secret} {use} {arm}".encode()).digest()

    def write(self, folder: Path) -> None:
        """Writes sealed.json, readable by its owner alone."""
        path = folder / SEALED_FILE
        path.touch(mode=stat.S_IRUSR | stat.S_IWUSR)
        write_json(path, {"secret": self.secret})
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)

    @classmethod
    def read(cls, folder: Path, commitment: str) -> SealedOrder:
        """Reads sealed.json; FolderError if it is not the one whose hash is in the plan."""
        data = read_json(folder / SEALED_FILE)
        if not isinstance(data, dict) or not isinstance(data.get("secret"), str):
            raise RecordError(f"{folder.name}/{SEALED_FILE}", "no secret", "the sealed order of the locked plan")
        found = cls(data["secret"])
        if found.commitment != commitment:
            raise FolderError(
                f"{folder}/{SEALED_FILE}: got an order with hash {found.commitment[:12]}, expected {commitment[:12]} "
                "as in the locked plan; the order was changed after the plan was locked"
            )
        return found
