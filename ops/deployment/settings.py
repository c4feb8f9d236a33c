"""Whether what a deployment sets are settings of the system, with values that they can have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from ops.settings import SystemSettings
from workers.runtime.settings import OUTSIDE, PREFIX


def wrong(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each name that is no setting and each value that a setting cannot have."""
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    for name in ours.keys() - OUTSIDE:
        if name.removeprefix(PREFIX).lower() not in SystemSettings.model_fields:
            yield f"{name} is no setting"
    values = {name.removeprefix(PREFIX).lower(): value for name, value in ours.items()}
    try:
        SystemSettings(**{name: value for name, value in values.items() if name in SystemSettings.model_fields})  # type: ignore[arg-type]
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            yield f"{PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg']}"
