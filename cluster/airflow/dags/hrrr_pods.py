"""Airflow DAG: the backfill of hrrr.py with each month in a pod of the image of cluster/Dockerfile.

The workers of Airflow need no access to archive and store, and of hrrr_dask only what splits a period into months. The
namespace, its service accounts, settings and points are those of cluster/base.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import Param, dag, task
from kubernetes.client import models as k8s

MONTHS_AT_ONCE = int(os.environ.get("HRRR_MONTHS_AT_ONCE", "4"))
"""Pods that read concurrently."""

# Exit code 3, done with gaps, is a success here; the report goes to the page as XCom.
COMMAND = 'code=0; hrrr-dask "$@" > /airflow/xcom/return.json || code=$?; [ "$code" = 3 ] || exit "$code"'

NOTHING_MORE = k8s.V1SecurityContext(
    allow_privilege_escalation=False,
    read_only_root_filesystem=True,
    capabilities=k8s.V1Capabilities(drop=["ALL"]),
)

POD: dict[str, Any] = {
    "namespace": os.environ.get("HRRR_NAMESPACE", "hrrr"),
    "image": os.environ.get("HRRR_IMAGE", "registry.example.com/hrrr-dask:0.2.0"),
    "service_account_name": "hrrr-dask",
    "automount_service_account_token": False,
    "env_from": [k8s.V1EnvFromSource(config_map_ref=k8s.V1ConfigMapEnvSource(name="hrrr-settings"))],
    "volumes": [
        k8s.V1Volume(name="tmp", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="1Gi")),
        k8s.V1Volume(name="points", config_map=k8s.V1ConfigMapVolumeSource(name="hrrr-points")),
    ],
    "volume_mounts": [
        k8s.V1VolumeMount(name="tmp", mount_path="/tmp"),  # noqa: S108  in the pod
        k8s.V1VolumeMount(name="points", mount_path="/etc/hrrr", read_only=True),
    ],
    "container_resources": k8s.V1ResourceRequirements(
        requests={"cpu": "1", "memory": "3Gi"}, limits={"cpu": "2", "memory": "3Gi"}
    ),
    "security_context": k8s.V1PodSecurityContext(
        run_as_non_root=True,
        run_as_user=10001,
        run_as_group=10001,
        fs_group=10001,
        seccomp_profile=k8s.V1SeccompProfile(type="RuntimeDefault"),
    ),
    "container_security_context": NOTHING_MORE,
    "xcom_sidecar_container_security_context": NOTHING_MORE,
    "labels": {"app.kubernetes.io/part-of": "hrrr-dask"},
    "termination_grace_period": 100,
    "startup_timeout_seconds": 1800,  # a node may have to start first
    "do_xcom_push": True,
}
"""The pod, as restricted as those of cluster/update."""

TEXT = ["null", "string"]


@dag(
    schedule=None,
    catchup=False,
    tags=["hrrr"],
    params={
        "start": Param(None, type=TEXT, description="First init time, UTC: 2024-01-31 or 2024-01-31T06."),
        "end": Param(None, type=TEXT, description="Last init time, included."),
        "store": Param("$(HRRR_STORE)", type="string", description="URL; by default that of cluster/base."),
        "points": Param("/etc/hrrr/points.csv", type="string", description="Points file in the pod."),
        "cycles": Param("0-23", type="string", description="Hours at which runs start, such as 0-23/6."),
        "lead_hours": Param("0-18", type="string", description="Such as 0-48."),
        "variables": Param(None, type=TEXT, description="Names, with commas."),
        "workers": Param(2, type="integer", description="Processes of a pod."),
        "options": Param([], type="array", description='Further options, such as ["--source", "google"].'),
    },
    doc_md=__doc__,
)
def hrrr_backfill_pods() -> None:
    """Read every file of a period that the store does not have yet, each month in a pod."""

    @task
    def plan_arguments(params: dict[str, Any]) -> list[str]:
        """Return the arguments of the pod that checks the request."""
        months = _months(params)
        return _command("plan", _selection(params), months[0][0], months[-1][1])

    @task
    def month_arguments(params: dict[str, Any]) -> list[list[str]]:
        """Return the arguments of the pod of each month."""
        given = [*_selection(params), f"--workers={params['workers']}", *params["options"]]
        return [_command("backfill", given, *month) for month in _months(params)]

    # A mistake ends the run here: it is not retried as an outage is.
    plan = KubernetesPodOperator(task_id="plan", name="hrrr-plan", arguments=plan_arguments(), retries=0, **POD)
    months = KubernetesPodOperator.partial(
        task_id="read_month",
        name="hrrr-month",
        retries=4,
        retry_delay=timedelta(minutes=1),
        retry_exponential_backoff=2,
        max_active_tis_per_dagrun=MONTHS_AT_ONCE,
        **POD,
    ).expand(arguments=month_arguments())
    plan >> months


def _months(params: dict[str, Any]) -> list[tuple[str, str]]:
    from hrrr_dask.config.period import parse_period, split_months  # noqa: PLC0415  Airflow forks its tasks
    from hrrr_dask.config.settings import parse_hours  # noqa: PLC0415
    from hrrr_dask.errors import PlanError  # noqa: PLC0415

    if not (params["start"] and params["end"]):
        raise PlanError("a backfill needs the parameters start and end: 2024-01-31 or 2024-01-31T06, UTC")
    period = parse_period(params["start"], params["end"], parse_hours(params["cycles"], "cycles", 23))
    return [(f"{month.start:%Y-%m-%dT%H}", f"{month.end:%Y-%m-%dT%H}") for month in split_months(period)]


def _selection(params: dict[str, Any]) -> list[str]:
    names = ("store", "points", "cycles", "lead_hours", "variables")
    return [f"--{name.replace('_', '-')}={params[name]}" for name in names if params[name] is not None]


def _command(name: str, options: list[str], start: str, end: str) -> list[str]:
    return ["sh", "-c", COMMAND, "hrrr-dask", name, "--json", *options, f"--start={start}", f"--end={end}"]


hrrr_backfill_pods()
