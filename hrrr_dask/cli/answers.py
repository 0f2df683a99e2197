"""Plans and assessments as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from hrrr_dask.job.costs import Costs
from hrrr_dask.planning.layout import explain_layout
from hrrr_dask.planning.plan import Plan
from hrrr_dask.report.assessment import Assessment

__all__ = ["assessment_answer", "plan_answer"]


def plan_answer(made: Plan, costs: Costs) -> dict[str, Any]:
    """Return a plan as JSON."""
    return {
        "start": made.period.start,
        "end": made.period.end,
        "runs": made.n_runs,
        "not_started": made.not_started,
        "files": made.n_files,
        "files_done": made.n_done,
        "lead_hours_not_reached": {f"{lead / 60:g}": count for lead, count in made.skipped.items()},
        "variables_never_there": made.absent,
        "points": made.n_points,
        "variables": {variable.name: str(variable.selector) for variable in made.selection.variables},
        "partitions": made.n_partitions,
        "layout": asdict(made.layout),
        "layout_reason": explain_layout(made.layout, made.selection, made.n_points),
        "step_files": made.step_files,
        "shard_bytes": made.shard_bytes,
        "partition_bytes": made.partition_bytes,
        "bytes_to_read": made.bytes_to_read,
        "requests": made.requests,
        "worker_bytes": made.worker_bytes,
        "costs": asdict(costs),
    }


def assessment_answer(found: Assessment) -> dict[str, Any]:
    """Return an assessment as JSON; numbers that are not finite are null.

    Every lead time is an integer: ``lead_hours`` if all lead times of the store are whole hours, else ``lead_minutes``.
    """

    def spelled(value: Any) -> Any:
        if isinstance(value, dict):
            return dict(spelled_item(key, item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return [spelled(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    def spelled_item(key: str, item: Any) -> tuple[str, Any]:
        return ("lead_hours", item // 60) if key == "lead_minutes" and found.hourly else (key, spelled(item))

    answer: dict[str, Any] = spelled(asdict(found))
    return answer
