"""Checks that the environment of a deployment consists of valid settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from ops.settings import SystemSettings
from workers.runtime.settings import OUTSIDE, PREFIX


def invalid(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each unknown setting and each invalid value."""
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    for name in ours.keys() - OUTSIDE:
        if name.removeprefix(PREFIX).lower() not in SystemSettings.model_fields:
            yield f"{name} is not a setting"
    values = {name.removeprefix(PREFIX).lower(): value for name, value in ours.items()}
    try:
        SystemSettings(**{name: value for name, value in values.items() if name in SystemSettings.model_fields})  # type: ignore[arg-type]
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False):
            yield f"{PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg']}"
