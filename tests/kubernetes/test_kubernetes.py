"""``--cluster kubernetes`` on an emulated Kubernetes cluster with the real operator: see :mod:`kube`."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml
from kube.running import kubernetes, missing
from support.oracle import as_bits, cli_command, write_points
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.clusters import open_client
from hrrr_dask.clusters.spec import KubernetesSpec, Workers
from hrrr_dask.errors import ConfigError, RunError
from hrrr_dask.testing import FaultServer, GridWindow, loopback_s3, write_archive

WHY = missing()
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY)

NAMES = ("temperature_2m", "surface_pressure")
WINDOW = GridWindow(288, 794, 8, 10)
POINTS = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
LEADS = range(12)
STORE = "s3://out/x.zarr"
FILES = ROOT / "cluster"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with kubernetes(tmp_path_factory.mktemp("kube"), image={"/opt/hrrr": str(FILES)}) as found:
        yield found


# End to end


class Gate(FaultServer):
    """An archive that delays all responses while it is closed."""

    def __init__(self, archive):
        super().__init__(archive)
        self.opened = threading.Event()
        self.opened.set()

    def begin(self, path, byte_range):
        self.opened.wait(200)
        return super().begin(path, byte_range)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    times = [datetime(2024, 1, 1), datetime(2024, 1, 1, 12)]
    return write_archive(root, init_times=times, lead_hours=LEADS, variables=NAMES, window=WINDOW)


@pytest.fixture
def gate(archive):
    with Gate(archive) as server:
        yield server
        server.opened.set()


@pytest.fixture
def s3(monkeypatch):
    with loopback_s3() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.create_bucket("out")
        yield server


def settings_file(directory, s3, cpu="250m", **environment):
    """Write a user's Dask configuration; credentials are in a Secret."""
    env = environment | {name: value for name, value in s3.environment().items() if "ACCESS_KEY" not in name}
    own = {"image": "registry.example/hrrr-dask:1", "cpu": "250m", "memory": "1500Mi", "scheduler-cpu": cpu}
    quick = {"containers": [{"name": "worker", "args": ["--no-nanny"]}]}
    settings = {"kubernetes": own | {"env": env, "secrets": ["store-credentials"], "extra-pod-spec": quick}}
    (directory / "hrrr.yaml").write_text(yaml.safe_dump({"hrrr": settings | {"memory-limit-mb": 1000, "threads": 1}}))


def secret(s3):
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    data = {name: base64.b64encode(s3.environment()[name].encode()).decode() for name in names}
    return yaml.safe_dump(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "store-credentials"}, "data": data}
    )


@contextmanager
def running_command(cluster, directory, source, **options):
    """Run the user's command; it is killed if the test ends first."""
    day, points = "2024-01-01", write_points(directory / "points.csv", POINTS)
    options |= {"points": points, "start": day, "end": day, "axis_start": day, "cycles": "0,12", "lead_hours": "0-11"}
    options |= {"variables": ",".join(NAMES), "source": source, "store": STORE, "cluster": "kubernetes", "json": True}
    environment = {**os.environ, "KUBECONFIG": cluster.kubeconfig(), "DASK_CONFIG": str(directory)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(cli_command("backfill", **options), env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def while_running(cluster, process, what, find):
    """Return the first true result of ``find``; fail if the command exits before."""

    def checked():
        assert process.poll() is None, process.communicate()
        return find()

    return cluster.wait_for(what, checked)


def finish(cluster, process):
    """Wait for the command; return its exit code, report and stderr."""
    try:
        out, stderr = process.communicate(timeout=150)
    except subprocess.TimeoutExpired:
        raise AssertionError(cluster.logs()) from None
    return process.returncode, json.loads(out.strip().splitlines()[-1]), stderr


def test_a_backfill_in_pods_scales_up_survives_a_killed_worker_and_deletes_the_cluster(
    cluster, archive, gate, s3, tmp_path
):
    settings_file(tmp_path, s3, DASK_DISTRIBUTED__ADAPTIVE__TARGET_DURATION="1s")
    cluster.kubectl("apply", "-f", "-", text=secret(s3))
    with running_command(cluster, tmp_path, gate.url, adapt="1:4") as running:
        while_running(cluster, running, "cluster", lambda: cluster.items("daskclusters"))
        gate.opened.clear()  # the command has read the grid; no file is read before four workers run
        while_running(cluster, running, "worker", lambda: cluster.ready("worker"))
        assert len(cluster.items("pods", "dask.org/component=worker")) == 1, "the cluster starts with the minimum"
        workers = while_running(
            cluster, running, "four workers", lambda: len(found := cluster.ready("worker")) == 4 and found
        )
        cluster.kubectl("delete", "pod", workers[0]["metadata"]["name"], "--grace-period=0", "--force")
        gate.opened.set()
        code, report, stderr = finish(cluster, running)
    assert (code, report["outcome"], report["files_read"]) == (0, "done", 24), stderr
    assert_holds(archive)
    assert all("deletionTimestamp" in pod["metadata"] for pod in cluster.items("pods"))
    cluster.wait_for(
        "deletion of all objects", lambda: not any(map(cluster.items, ("daskclusters", "daskautoscalers", "pods")))
    )


def test_the_death_of_the_scheduler_is_reported_in_one_sentence_without_the_libraries_traceback(
    cluster, gate, s3, tmp_path
):
    settings_file(tmp_path, s3)
    cluster.kubectl("apply", "-f", "-", text=secret(s3))
    with running_command(cluster, tmp_path, gate.url, workers=1) as running:
        while_running(cluster, running, "cluster", lambda: cluster.items("daskclusters"))
        gate.opened.clear()
        while_running(cluster, running, "worker", lambda: cluster.ready("worker"))
        while_running(cluster, running, "store", lambda: s3.client().list_objects_v2(Bucket="out").get("Contents"))
        (scheduler,) = cluster.ready("scheduler")
        cluster.kubectl("delete", "pod", scheduler["metadata"]["name"], "--grace-period=0", "--force")
        code, report, stderr = finish(cluster, running)
    assert (code, report["error"]["code"]) == (1, "run"), stderr
    assert "connection to the cluster's scheduler was lost" in stderr
    assert not re.search("Traceback|kr8s|not supported|Error:", stderr), stderr
    assert_deleted(cluster)


def assert_holds(archive):
    with hrrr_dask.open_dataset(STORE) as opened:
        ds = opened.load()
    for file in archive.files:
        one = ds.sel(init_time=file.init_time, lead_time=file.lead_time)
        for name in NAMES:
            wanted = archive.expected(name, file)[one.cell_y.values, one.cell_x.values]
            assert np.array_equal(as_bits(one[name]), as_bits(wanted)), f"{name} of {file.label}"


def test_sigterm_while_the_cluster_starts_deletes_it(cluster, gate, s3, tmp_path):
    settings_file(tmp_path, s3, cpu="1000")
    with running_command(cluster, tmp_path, gate.url, workers=1) as running:
        while_running(cluster, running, "cluster", lambda: cluster.items("daskclusters"))
        running.send_signal(signal.SIGTERM)
        code, report, stderr = finish(cluster, running)
    assert (code, report["error"]["code"]) == (1, "interrupted"), stderr
    assert_deleted(cluster)


def assert_deleted(cluster):
    """Assert that no pod runs, and every cluster is terminating."""
    assert all("deletionTimestamp" in each["metadata"] for each in cluster.items("daskclusters"))
    cluster.wait_for("end of all pods", lambda: not cluster.items("pods"))


# Failures


def spec(**changes):
    given = {"image": "registry.example/x:1", "workers": Workers(1, 1), "threads": 1, "memory": "1Gi"}
    given |= {"cpu": "250m", "scheduler_cpu": "250m"}
    return KubernetesSpec(**given | changes)


@pytest.fixture
def use(monkeypatch):
    """Set the kubeconfig of this process."""

    def used(path):
        monkeypatch.setenv("KUBECONFIG", str(path))

    return used


@pytest.fixture
def admin(cluster, use):
    use(cluster.kubeconfig())
    yield cluster
    assert_deleted(cluster)


def refused(changes, kind=RunError):
    with pytest.raises(kind) as error, open_client(spec(**changes)):
        raise AssertionError("the cluster started")
    return " ".join(str(error.value).split())


NO_ROOM = r"pod .*: no node has room for it \(0/1 nodes are available: 1 Insufficient cpu\.\): request less .*"
NO_IMAGE = r"image registry\.example/missing/x:1 cannot be pulled \(ImagePullBackOff: .*\): check kubernetes\.image"
NO_SECRET = r"\(CreateContainerConfigError: secret \"nowhere\" not found\): check kubernetes\.secrets"
CRASH = r"its container exits repeatedly \(Error, exit code 2\): .* its log ends with .*No such command 'skeduler'"
INVALID = (
    r"checking pod .*-worker: Kubernetes returned 422, Pod .* is invalid: .*volumeMounts: Not found: \"x\": correct the"
)
MISSPELT = {"containers": [{"name": "scheduler", "command": ["dask", "skeduler"]}]}
NO_VOLUME = {"containers": [{"name": "worker", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}]}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"scheduler_cpu": "1000", "start_timeout_s": 2},
            rf"is not ready after 2 s .*{NO_ROOM} event of .*: FailedSch",
        ),
        (
            {"image": "registry.example/missing/x:1"},
            rf"does not start: {NO_IMAGE}.* event of .*: Failed: Failed to pull",
        ),
        ({"secrets": ("nowhere",)}, rf"its container cannot be created {NO_SECRET}"),
        ({"extra_scheduler_pod_spec": MISSPELT}, CRASH),
        (
            {"namespace": "nowhere"},
            r"Kubernetes returned 404, namespaces \"nowhere\" not found: create it, kubectl create",
        ),
        ({"extra_pod_spec": NO_VOLUME}, INVALID),
    ],
    ids=["cpu", "image", "secret", "crash", "namespace", "manifest"],
)
def test_a_cluster_that_does_not_start_is_deleted_and_the_error_has_the_reason(admin, changes, text):
    assert_matches(text, refused(changes))


def assert_matches(pattern, text):
    assert re.search(pattern, text), text


def test_the_error_lists_missing_permissions(cluster, use):
    use(cluster.kubeconfig("viewer"))
    text = refused({})
    assert "lacks permissions in namespace default" in text
    assert "create daskclusters.kubernetes.dask.org" in text
    assert "create pods/portforward" in text
    assert "list pods" not in text


def test_the_error_of_an_expired_login_says_to_log_in(cluster, use, tmp_path):
    config = yaml.safe_load(Path(cluster.kubeconfig()).read_text())
    config["users"][0]["user"]["token"] = "expired"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    use(tmp_path / "config")
    assert "log in again, so that `kubectl get nodes` works" in refused({"namespace": "default"})


def test_a_missing_kubeconfig_is_an_error(use, tmp_path):
    use(tmp_path / "nothing")
    assert_matches(r"no Kubernetes is configured here \(.*\): set KUBECONFIG", refused({}, ConfigError))


def test_an_api_server_that_does_not_respond_is_an_error(cluster, use, tmp_path):
    config = yaml.safe_load(Path(cluster.kubeconfig()).read_text())
    config["clusters"][0]["cluster"]["server"] = "http://127.0.0.1:9"
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    use(tmp_path / "config")
    assert_matches(r"Kubernetes does not respond: .* check that `kubectl get nodes` works", refused({}))


def test_a_missing_operator_is_an_error(tmp_path, use):
    with kubernetes(tmp_path, operator=False) as bare:
        use(bare.kubeconfig())
        assert "Dask's operator is not installed in that cluster: helm install --repo" in refused({})


def test_kubectl_refuses_unknown_keys(cluster):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}
    pod["spec"] = {"containers": [{"name": "x", "image": "x", "imgae": "y"}]}
    assert "imgae" in cluster.kubectl("apply", "-f", "-", text=yaml.safe_dump(pod), fails=True)


# Manifests of cluster/

NAMESPACE = "hrrr"


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """An archive of the two days before today: an update reads up to now."""
    root, today = tmp_path_factory.mktemp("two-days"), datetime.combine(datetime.now(UTC), time())
    times = [today - timedelta(days=2), today - timedelta(days=1)]
    return write_archive(root, init_times=times, lead_hours=range(3), variables=NAMES, window=WINDOW)


def documents(path, **changes):
    """Read the documents of a file, and change each by the function named after its kind."""
    found = list(yaml.safe_load_all((FILES / path).read_text()))
    for document in found:
        changes.get(document["kind"], lambda _: None)(document)
    return yaml.safe_dump_all(found)


def change_settings(s3):
    """Return a change of cluster/base/settings.yaml to the test's bucket and points."""

    def changed(config):
        if config["metadata"]["name"] == "hrrr-settings":
            config["data"] |= s3.environment() | {"HRRR_STORE": "s3://out/files.zarr"}
        else:
            rows = "".join(f"{latitude},{longitude}\n" for latitude, longitude in POINTS)
            config["data"] = {"points.csv": "latitude,longitude\n" + rows}

    return changed


def change_job(archive):
    """Return a change of cluster/backfill/job.yaml to one day with one run, and one worker."""
    day = f"{archive.files[0].init_time:%Y-%m-%d}"

    def changed(job):
        job["spec"]["cluster"]["spec"]["worker"]["replicas"] = 1
        [container] = job["spec"]["job"]["spec"]["containers"]
        dates = [at for at, word in enumerate(container["args"]) if re.fullmatch(r"\d{4}-\d\d-\d\d", word)]
        for at in dates:
            container["args"][at] = day
        assert len(dates) == 2
        settings = {"cycles": "0", "lead_hours": "0-2", "variables": ",".join(NAMES), "axis_start": day}
        settings["source"] = archive.root
        container["args"] = [word for word in container["args"] if not word.startswith("--setting")]
        container["args"] += [f"--setting={name}={value}" for name, value in settings.items()]

    return changed


def one_worker(scaler):
    scaler["spec"]["minimum"] = scaler["spec"]["maximum"] = 1


def test_the_manifests_run_a_backfill_and_an_update(cluster, two_days, s3):
    cluster.kubectl("apply", "-k", str(FILES / "base"))
    cluster.kubectl("apply", "-f", "-", text=documents("base/settings.yaml", ConfigMap=change_settings(s3)))
    job = documents("backfill/job.yaml", DaskJob=change_job(two_days), DaskAutoscaler=one_worker)
    cluster.kubectl("apply", "-f", "-", text=job)
    assert job_status(cluster) == "Successful", cluster.logs()
    report = json.loads(cluster.kubectl("logs", "-n", NAMESPACE, "hrrr-backfill-runner").splitlines()[-1])
    assert (report["outcome"], report["files_read"]) == ("done", 3)
    cluster.wait_for("end of the cluster", lambda: not cluster.items("daskclusters", namespace=NAMESPACE))

    cluster.kubectl("apply", "-f", str(FILES / "update" / "cronjob.yaml"))
    words = ("create", "job", "--from=cronjob/hrrr-update", "now", "-n", NAMESPACE, "--dry-run=client", "-o", "yaml")
    cluster.kubectl("apply", "-f", "-", text=cluster.kubectl(*words))
    [condition] = cluster.wait_for("end of the update", lambda: conditions(cluster, "now"))
    assert condition["type"] == "Complete", cluster.logs()
    with hrrr_dask.open_dataset("s3://out/files.zarr") as opened:
        ds = opened.load().sel(init_time=[file.init_time for file in two_days.files[::3]])
    assert ds.temperature_2m.shape == (2, 3, 2)
    assert ds.temperature_2m.notnull().all()


def job_status(cluster):
    def find():
        [job] = cluster.items("daskjobs", namespace=NAMESPACE)
        status = job.get("status", {}).get("jobStatus")
        return status in ("Successful", "Failed") and status

    return cluster.wait_for("end of the job", find)


def conditions(cluster, name):
    jobs = [job for job in cluster.items("jobs", namespace=NAMESPACE) if job["metadata"]["name"] == name]
    return jobs[0].get("status", {}).get("conditions") if jobs else None
