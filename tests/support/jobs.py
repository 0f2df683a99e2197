"""Jobs whose tasks read and write nothing, for tests of the run loop and of worker failures."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.job.pipeline import Job, PartitionReport
from hrrr_dask.records import Extract, GribFile, Reading
from support.outcomes import hourly_outcome
from support.specs import NAMES, SELECTION, make_spec

LEADS = 6
SIX_LEADS = replace(SELECTION, lead_minutes=tuple(range(0, 60 * LEADS, 60)))


def make_readings(n_runs, first_run=0, leads=LEADS):
    start = datetime(2024, 1, 1)
    return tuple(
        Reading.of(GribFile(start + timedelta(hours=run), lead), NAMES)
        for run in range(first_run, first_run + n_runs)
        for lead in range(leads)
    )


def make_job(files_per_task, name, **fetch):
    job = Job(
        job_id=name,
        spec=make_spec(selection=SIX_LEADS),
        store_url="",
        store_options=(),
        sources=(),
        fetch=FetchSettings(**fetch),
        engine="eccodes",
        merge_gap_bytes=0,
        package_version="1.2.3",
    )
    job.__dict__["files_per_task"] = files_per_task
    return job


def fake_extract(reading, seconds=0.001):
    outcome = hourly_outcome(reading.file, NAMES, {}, bytes_read=7, seconds=seconds)
    return [Extract(np.zeros((2, 5), np.float32), outcome)]


def write_locally(partition, extracts, job, attempt):
    gaps = {e.outcome.file.label: 1 for e in extracts if e.outcome.reasons}
    return PartitionReport(partition.number, len(extracts), gaps, 0, 0, 0, 0.0)
