"""Digests of everything that the pixels of a run depend on, so that another run is not resumed as this one."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rios_batch import __version__
from rios_batch.awsbatch.describing import digest_of, digest_of_texts
from rios_batch.compute.otherargs import attributes_of
from rios_batch.errors import JobMgrError
from rios_batch.gdalapi import dataset_stamps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rios_batch.model.spec import RunSpec


def fingerprints(spec: RunSpec, other_args: Any) -> dict[str, str]:
    """Return a digest for each part of a run, by what a person would call the part.

    Parameters
    ----------
    spec : the run.
    other_args : the caller's object, or None.
    """
    found = {
        "the version of rios_batch": __version__,
        "the function": function_digest(spec.function),
        "the working grid": _hex(repr(spec.grid), repr(spec.plan.blocks), repr(spec.overlap_px)),
    }
    for input_spec in spec.inputs:
        there = [file for file in input_spec.files if not file.unreadable]
        stamps = [dataset_stamps(file.path, file.files) for file in there]
        found[f"infiles.{input_spec.name}"] = _hex(repr(input_spec), repr(stamps))
    for name, value in spec.environment.items():
        found[f"environment variable {name}"] = _hex(repr(value))
    for output in spec.outputs:
        described = asdict(output)
        del described["encoded_overviews"]  # they follow from the tile plan, and a resumed run keeps its plan
        found[output.label.replace("outputs.", "outfiles.")] = _hex(repr(described))
    for name, value in sorted((attributes_of(other_args) if other_args is not None else {}).items()):
        found[f"otherArgs.{name}"] = digest_of(value)
    return found


def check_same(begun: Mapping[str, str], now: Mapping[str, str], run_id: str) -> None:
    """Refuse to go on with a run that is not this one.

    Raises
    ------
    JobMgrError : some parts differ. The message names these parts.
    """
    changed = [part for part in {**begun, **now} if begun.get(part) != now.get(part)]
    if changed:
        raise JobMgrError(
            f"run {run_id} cannot be resumed, because {', '.join(changed)} changed since it began, and old and new "
            "tiles would be mixed; undo the change, or begin anew without setResume"
        )


def function_digest(function: Any) -> str:
    """Return a digest of a function as the function is sent to workers, with all that it uses, however nested.

    Comments and line numbers do not count. Installed packages count by name.
    """
    return digest_of(function)


def _hex(*texts: str | bytes) -> str:
    return digest_of_texts(texts)
