# SPDX-License-Identifier: GPL-3.0-or-later
"""The model file: one safetensors file whose header holds a JSON contract; no pickle anywhere.

Contract (format version 1): `encoder` (EncoderConfig of the first variant), `variants` (list of {name, attention, rope},
first = default), `policies` and `default_policy`, `labels`, `bands`, `average` [min, max], `rates` (possible
dropout rates), `dtypes`, `steps` (0 = untrained: refused), `training` (config, commit, sources), `metrics`, `heads` (which
of `classes`, `anomaly` and `token_classes` were trained), `weights_sha256`. A checksum in the header covers the contract and
all tensors, see ``tensor_file``; files written before it have none, and load.

Tensors: `weights.<variant>.<parameter>`, `weights.shared.<parameter>` for parameters equal in all variants, and
`table.<key>.<field>` for the conformal tables, with keys from `table_key`.

Shipped models keep their general tables in a second file, NAME.tables.safetensors; their contract says `tables: beside`. The
header of that file holds the `weights_sha256` that the tables were learned with. A calibrated model is one whole file.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import features, tensor_file
from .config import POLICIES, EncoderConfig

FORMAT_VERSION = 1
CONTRACT_KEY = "spectrumencoder"
SUFFIX = ".safetensors"
TABLES_SUFFIX = ".tables.safetensors"
TABLES_KEY = "spectrumencoder_tables"  # header key of a file of tables
BESIDE = "beside"
SHARED = "shared"  # in place of a variant's name
REQUIRED = {"format_version": int, "name": str, "encoder": dict, "variants": list, "policies": list, "labels": list,
            "bands": list, "average": list, "steps": int, "heads": dict}  # entries of the contract and their types


class ModelError(Exception):
    """A model file cannot be used. The message is one line: what is wrong and what to do."""


@dataclass
class ModelFile:
    """A loaded file: the contract (dict) and the tensors (name -> array)."""

    contract: dict
    tensors: dict[str, np.ndarray] = field(repr=False)
    path: Path | None = None

    @property
    def name(self) -> str:
        return self.contract["name"]

    @property
    def variants(self) -> list[str]:
        return [v["name"] for v in self.contract["variants"]]

    @property
    def has_token_classes(self) -> bool:
        """Whether the file holds a token head; files of earlier releases hold none."""
        return bool(self.contract["encoder"].get("token_classes", False))

    def config(self, variant: str) -> EncoderConfig:
        """EncoderConfig of one variant."""
        row = next(v for v in self.contract["variants"] if v["name"] == variant)
        return EncoderConfig.from_dict({**self.contract["encoder"], "attention": row["attention"], "rope": row["rope"]})

    def weights(self, variant: str) -> dict[str, np.ndarray]:
        """Parameters of one variant, including those that all variants share."""
        prefixes = f"weights.{SHARED}.", f"weights.{variant}."
        return {k[len(p):]: v for p in prefixes for k, v in self.tensors.items() if k.startswith(p)}

    @property
    def tables(self) -> dict[str, dict[str, np.ndarray]]:
        """Conformal tables: key -> field -> array."""
        tables: dict[str, dict[str, np.ndarray]] = {}
        for name, value in self.tensors.items():
            if name.startswith("table."):
                key, _, part = name[len("table."):].rpartition(".")
                tables.setdefault(key, {})[part] = value
        return tables

    def set_table(self, key: str, fields: dict[str, np.ndarray]) -> None:
        """Add a conformal table. It replaces a table with the same key."""
        self.drop_table(key)
        self.tensors.update({f"table.{key}.{part}": np.asarray(value, order="C") for part, value in fields.items()})

    def drop_table(self, key: str) -> None:
        for name in [n for n in self.tensors if n.startswith(f"table.{key}.")]:
            del self.tensors[name]


_ALIKE = {features.FP32: features.BF16, features.BF16: features.FP32}


def variant_name(attention: str, rope: str) -> str:
    return f"{attention}-{rope}"


def table_key(contract: dict, band: str, frame: np.ndarray) -> str:
    """Key of the conformal table that belongs to one frame: variant/band/k/K/policy/dtype.

    Args:
        band: name from the band plan.
        frame: (256,) features of the frame, laid out as in `features`.
    """
    return "/".join((contract["variants"][int(frame[features.VARIANT])]["name"], band, str(int(frame[features.K_KEPT])),
                     str(int(frame[features.K_EFF])), POLICIES[int(frame[features.POLICY])],
                     features.DTYPES[int(frame[features.DTYPE])]))


def alike_key(key: str) -> str:
    """Key of a table that serves the frames of table `key` equally well: bf16 for fp32, fp32 for bf16, int8 for itself.

    bf16 changes the residual by 0.0014 rms, p-values by 1 % and no event (docs/results/precision.md).
    """
    rest, _, dtype = key.rpartition("/")
    return f"{rest}/{_ALIKE.get(dtype, dtype)}"


def weights_sha256(tensors: dict[str, np.ndarray]) -> str:
    """Hash over the weights alone; calibration does not change it."""
    digest = hashlib.sha256()
    for name in sorted(t for t in tensors if t.startswith("weights.")):
        digest.update(name.encode())
        digest.update(np.asarray(tensors[name], order="C").tobytes())
    return digest.hexdigest()


def save(path: Path, contract: dict, tensors: dict[str, np.ndarray]) -> None:
    """Write a model file that includes its tables, atomically."""
    contract = {**contract, "format_version": FORMAT_VERSION, "weights_sha256": weights_sha256(tensors)}
    contract.pop("tables", None)
    _write(Path(path), tensors, CONTRACT_KEY, contract)


def save_apart(path: Path, contract: dict, tensors: dict[str, np.ndarray]) -> None:
    """Write a model file, and its tables (if it has any) beside it in NAME.tables.safetensors. Each is written atomically."""
    if not any(name.startswith("table.") for name in tensors):
        save(path, contract, tensors)
        return
    digest = weights_sha256(tensors)
    save_tables(Path(path), digest, tensors)
    contract = {**contract, "format_version": FORMAT_VERSION, "weights_sha256": digest, "tables": BESIDE}
    _write(Path(path), {k: v for k, v in tensors.items() if not k.startswith("table.")}, CONTRACT_KEY, contract)


def save_tables(path: Path, digest: str, tensors: dict[str, np.ndarray]) -> None:
    """Write the tables among `tensors` beside the model file `path`, whose weights have this sha256."""
    _write(tables_path(path), {k: v for k, v in tensors.items() if k.startswith("table.")}, TABLES_KEY,
           {"format_version": FORMAT_VERSION, "weights_sha256": digest})


def tables_path(path: Path) -> Path:
    """Path of the tables of a model file that keeps them beside it."""
    return path.with_name(path.name.removesuffix(SUFFIX) + TABLES_SUFFIX)


def _write(path: Path, tensors: dict[str, np.ndarray], key: str, about: dict) -> None:
    tensor_file.write(path, tensors, {key: json.dumps(about)})


def load(path: Path | str) -> ModelFile:
    """Read and check a model file.

    Raises:
        ModelError: the file is missing, truncated, untrained, has another contract, or is no model file (a pickle, for
            instance); or its separate tables are missing or belong to other weights.
    """
    path = Path(path)
    contract, tensors = _read(path, CONTRACT_KEY)
    model = ModelFile(contract, tensors, path)
    _check(model)
    if contract.get("tables") == BESIDE:
        tables = tables_path(path)
        if not tables.is_file():
            raise ModelError(f"{path} keeps its tables in {tables.name}, which is missing; copy that file beside it too")
        about, fields = _read(tables, TABLES_KEY)
        if about.get("weights_sha256") != contract["weights_sha256"]:
            raise ModelError(f"{tables} holds tables of other weights than those of {path.name}; copy both files again")
        tensors.update(fields)
    return model


def _read(path: Path, key: str) -> tuple[dict, dict[str, np.ndarray]]:
    """The JSON under `key` in the header, and the tensors."""
    if not path.is_file():
        raise ModelError(f"no model file at {path}")
    try:
        data = tensor_file.read_bytes(path)
        # a safetensors file is its header's length (u64) and then JSON; the length alone may look like a pickle's first byte
        if data[8:9] != b"{" and (data[:2] == b"PK" or data[:1] == b"\x80"):
            raise ModelError(f"{path} is a pickle or zip, not a safetensors file; only files written by spectrumencoder are read")
        metadata, tensors = tensor_file.parse(data)
    except (ValueError, OSError) as error:
        raise ModelError(f"{path} is truncated, damaged or not a safetensors file ({error}); copy or train it again") from error
    unknown = metadata.keys() - {CONTRACT_KEY, TABLES_KEY, tensor_file.SEAL}
    if unknown and metadata.keys() & {CONTRACT_KEY, TABLES_KEY}:
        raise ModelError(f"{path} is damaged: its header has an entry {min(unknown)[:60]!r}; copy it again")
    if CONTRACT_KEY in metadata and key == TABLES_KEY or TABLES_KEY in metadata and key == CONTRACT_KEY:
        raise ModelError(f"{path} holds {'tables alone' if key == CONTRACT_KEY else 'a model and not its tables'}; "
                         f"{'name the model file beside it' if key == CONTRACT_KEY else 'copy it again'}")
    if key not in metadata:
        raise ModelError(f"{path} is a safetensors file of another program: its header holds no {key!r} contract")
    try:
        about = json.loads(metadata[key])
    except json.JSONDecodeError as error:
        raise ModelError(f"{path} holds a contract that is not JSON ({error}); train it again") from error
    if not isinstance(about, dict):
        raise ModelError(f"{path} has a contract that is a {type(about).__name__}, not a table; train it again")
    return about, tensors


def _check(model: ModelFile) -> None:
    contract, path = model.contract, model.path
    version = contract.get("format_version")
    if version != FORMAT_VERSION:
        raise ModelError(f"{path} has contract version {version}, this program reads {FORMAT_VERSION}; train it again or update")
    missing = [k for k in REQUIRED if k not in contract]
    if missing:
        raise ModelError(f"{path} has a contract without {', '.join(missing)}; train it again")
    wrong = [f"{k} ({contract[k]!r})"[:80] for k, kind in REQUIRED.items() if not isinstance(contract[k], kind)]
    if wrong:
        raise ModelError(f"{path} has a contract with entries of the wrong type: {', '.join(wrong)}; train it again")
    if not contract["steps"] > 0:
        raise ModelError(f"{path} holds an untrained model (0 training steps); train it with: spectrumencoder train CONFIG.toml")
    if contract.get("weights_sha256") != weights_sha256(model.tensors):
        raise ModelError(f"{path} holds weights that do not match its contract's weights_sha256; copy it again")
    try:
        if not contract["variants"]:
            raise ValueError("it names no variant")
        low, high = contract["average"]
        if not 1 <= low <= high <= 64:
            raise ValueError(f"average {contract['average']} is not a range within 1..64")
        for name in ("labels", "bands"):
            if contract[name] != contract["encoder"][name]:
                raise ValueError(f"its {name} differ from the encoder's")
        if contract["heads"].get("token_classes", model.has_token_classes) != model.has_token_classes:
            raise ValueError("its heads and its encoder differ in token_classes")
        unknown = set(contract["policies"]) - set(POLICIES)
        if unknown or contract.get("default_policy", POLICIES[0]) not in contract["policies"]:
            raise ValueError(f"dropout policies {contract['policies']} are unknown or lack the default")
        if len(set(model.variants)) < len(model.variants):
            raise ValueError(f"variants {model.variants} are not distinct")
        for variant in model.variants:
            model.config(variant)
            if not any(name.startswith(f"weights.{variant}.") for name in model.tensors):
                raise ValueError(f"no weights for variant {variant}")
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} has a contract that does not fit ({error}); train it again") from error


def model_folders() -> list[Path]:
    """Folders searched for models by name: $SPECTRUMENCODER_MODELS, the package's, the source tree's."""
    package = Path(__file__).resolve().parents[1]
    own = [Path(os.environ["SPECTRUMENCODER_MODELS"])] if os.environ.get("SPECTRUMENCODER_MODELS") else []
    return [*own, package / "models", package.parents[1] / "models"]


def digest(models: Iterable[ModelFile]) -> str:
    """sha256 over the contracts, weights and tables of models: what a run's results depend on."""
    return hashlib.sha256("".join(tensor_file.seal({"contract": json.dumps(model.contract, sort_keys=True)}, model.tensors)
                                  for model in models).encode()).hexdigest()


def find_model(name: str | Path) -> Path:
    """Find the path of a model, given by path or by name.

    Raises:
        ModelError: no such model; the message lists the models found.
    """
    path = Path(name)
    if path.suffix == SUFFIX or os.sep in str(name):
        if path.is_file():
            return path
        raise ModelError(f"no model file at {path}")
    for folder in model_folders():
        if (folder / f"{name}{SUFFIX}").is_file():
            return folder / f"{name}{SUFFIX}"
    there = sorted({path.stem for path in found_models()})
    raise ModelError(f"no model named {name!r}; there is: {', '.join(there) or 'none'} (or give a path, or set "
                     "SPECTRUMENCODER_MODELS)")


def found_models() -> list[Path]:
    """Model files in the folders searched by name."""
    return sorted({path.resolve() for folder in model_folders() for path in folder.glob(f"*{SUFFIX}")
                   if not path.name.endswith(TABLES_SUFFIX)})
