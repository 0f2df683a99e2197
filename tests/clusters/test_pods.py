"""Creation and deletion of a cluster, and diagnosis of its pods, with a fake API server."""

from __future__ import annotations

import logging
import warnings

import pytest
from support import needs

from hrrr_dask.clusters.diagnosis import describe_pods, find_problems, is_ready
from hrrr_dask.errors import RunError

needs.extra("dask_kubernetes")

from hrrr_dask.clusters import kube_api, kubernetes  # noqa: E402
from hrrr_dask.clusters.spec import KubernetesSpec, Workers  # noqa: E402

SPEC = KubernetesSpec("registry.example/x:1", Workers(1, 3), threads=1, start_timeout_s=0.0)
READY = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


def pod(name="x-scheduler", **status):
    return {"metadata": {"name": name}, "status": {"phase": "Pending"} | status}


class FakeApi:
    """An API server that lists the given pods for each created cluster in turn; ``keeps`` disables deletion."""

    namespace, inside = "default", True

    def __init__(self, *pods, keeps=False):
        self._pods, self._keeps = list(pods), keeps
        self.created, self.existing, self.deleted, self.patched = [], set(), [], []

    def validate_pod(self, name, pod):
        pass

    def create(self, document):
        name = document["metadata"]["name"]
        assert document["spec"].get("idleTimeout", 0) == 0, "the operator would poll a missing scheduler"
        self.created.append((document["kind"], name))
        self.existing.add((document["kind"], name))

    def pods(self, cluster, component):
        if cluster in {name for _, name in self.deleted}:
            return [pod(component)] if self._keeps else []
        clusters = [name for kind, name in self.created if kind == "DaskCluster"]
        return self._pods[clusters.index(cluster)] if cluster in clusters else []

    def events(self, name):
        return []

    def patch(self, kind, name, changes):
        self.patched.append((kind, name, changes))

    def log(self, pod):
        return "Traceback\nModuleNotFoundError: hrrr_dask"

    def delete(self, kind, name):
        self.deleted.append((kind, name))
        if not self._keeps:
            self.existing.discard((kind, name))

    def get(self, kind, name):
        return {"metadata": {}} if (kind, name) in self.existing else None


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    for name in ("POLL_S", "OPERATOR_TIMEOUT_S", "DELETE_S"):
        monkeypatch.setattr(kubernetes, name, 0.0)


@pytest.fixture
def log(caplog):
    """What asyncio logs, without the filters that this process has."""
    logger = logging.getLogger("asyncio")
    before, logger.filters = logger.filters, []
    yield caplog
    logger.filters = before


def log_error(module):
    """Let asyncio log an error that was raised in a module of this name."""
    try:
        exec("raise RuntimeError('No ready pods found')", {"__name__": module})
    except RuntimeError as error:
        logging.getLogger("asyncio").error("Unhandled exception in %s", module, exc_info=error)


def test_only_what_kr8s_says_in_vain_is_silenced(log):
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        kube_api.silence_kr8s()
        kube_api.silence_kr8s()
        supported = "Supported versions for kr8s 0.20.15 are 1.28 to 1.35."
        warnings.warn(f"Kubernetes version v1.36.0 is not supported. {supported}", UserWarning, stacklevel=1)
        warnings.warn(f"Unable to parse Kubernetes version x. {supported}", UserWarning, stacklevel=1)
        warnings.warn("Kubernetes version v1.36.0 is unsafe", UserWarning, stacklevel=1)
    assert [str(each.message) for each in shown] == ["Kubernetes version v1.36.0 is unsafe"]
    log_error("kr8s._portforward")
    log_error("elsewhere")
    logging.getLogger("asyncio").error("without an exception")
    said = [record.getMessage() for record in log.records]
    assert said == ["Unhandled exception in elsewhere", "without an exception"]


def names(api):
    return [name for kind, name in api.created if kind == "DaskCluster"]


def test_a_cluster_that_the_operator_missed_is_created_again_under_another_name():
    api = FakeApi([], [READY])
    with kubernetes._create_cluster(api, SPEC) as name:
        first, second = names(api)
        assert name == second != first
        assert api.existing == {("DaskCluster", second), ("DaskAutoscaler", second)}, "the first is deleted"
        assert api.patched == [("DaskCluster", second, {"spec": {"idleTimeout": 3600}})]
    assert api.existing == set()


def test_the_creation_fails_if_the_operator_does_nothing_twice():
    api = FakeApi([], [])
    with pytest.raises(RunError, match=r"created no pod of cluster .*, twice: check that it runs .*helm install"):
        kubernetes._create_cluster(api, SPEC).__enter__()
    assert (len(names(api)), api.existing) == (2, set())


@pytest.mark.parametrize("failure", [KeyError("x"), KeyboardInterrupt()], ids=["failure", "interrupt"])
def test_a_cluster_is_deleted_after_a_failure_or_interrupt(failure):
    api = FakeApi([READY])
    with pytest.raises(type(failure)), kubernetes._create_cluster(api, SPEC):
        raise failure
    assert api.existing == set()


def test_the_error_of_a_failed_deletion_has_the_command_to_delete_the_cluster():
    api = FakeApi([READY], keeps=True)
    with (
        pytest.raises(RunError, match=r"may cost money: kubectl delete daskcluster \S+ --namespace default"),
        kubernetes._create_cluster(api, SPEC),
    ):
        pass


def test_a_failed_deletion_does_not_hide_an_earlier_error():
    api = FakeApi([READY], keeps=True)
    with pytest.raises(KeyError) as failure, kubernetes._create_cluster(api, SPEC):
        raise KeyError("x")
    assert "kubectl delete daskcluster" in failure.value.__notes__[0]


TERMINATING = {"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}


@pytest.mark.parametrize(
    ("exists", "pods", "terminating"),
    [(True, [], False), (True, [TERMINATING], True), (True, [TERMINATING, pod()], False), (False, [], True)],
)
def test_a_cluster_is_terminating_if_it_is_gone_or_all_its_pods_terminate(exists, pods, terminating):
    api = FakeApi()
    api.existing |= {("DaskCluster", "x")} if exists else set()
    api.pods = lambda *_: pods
    assert kubernetes._is_terminating(api, "x") == terminating


def wait_for_worker(api):
    api.create({"kind": "DaskCluster", "metadata": {"name": "x"}, "spec": {}})
    kubernetes._wait_for_worker(api, SPEC, "x", dict)


def test_the_timeout_of_workers_has_the_reason():
    text = "0/3 nodes are available: 3 Insufficient cpu."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    api = FakeApi([pod("x-worker", conditions=[unscheduled])])
    with pytest.raises(RunError, match=r"a worker of cluster x is not ready after 0 s .*3 Insufficient cpu"):
        wait_for_worker(api)


def test_the_error_of_a_crashing_worker_has_the_last_lines_of_its_log():
    crashed = {"restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}, "image": "i:1"}
    api = FakeApi([pod("x-worker", containerStatuses=[crashed])])
    with pytest.raises(RunError, match=r"(?s)\(Error, exit code 1\).*image i:1.*ModuleNotFoundError: hrrr_dask"):
        wait_for_worker(api)


# Diagnosis


def waiting(reason, message=""):
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(containerStatuses=[{"name": "c", "image": "i:1", "restartCount": 0, "state": state}])


def test_a_failed_pull_is_permanent_only_after_the_second_attempt():
    assert find_problems([waiting("ErrImagePull")]) == []
    [problem] = find_problems([waiting("ImagePullBackOff", "not found")])
    assert problem.permanent
    assert "image i:1 cannot be pulled (ImagePullBackOff: not found): check kubernetes.image" in problem.text


def test_a_single_crash_and_a_starting_container_are_no_problems():
    once = pod(containerStatuses=[{"restartCount": 1, "state": {}}])
    assert find_problems([once, waiting("ContainerCreating"), READY]) == []


def test_permanent_problems_come_first():
    full = pod("full", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])
    found = find_problems([full, waiting("CreateContainerConfigError", 'secret "s" not found')])
    assert [problem.permanent for problem in found] == [True, False]


def test_a_description_has_the_pods_and_the_last_events_by_time():
    times = {at: f"2024-01-01T00:00:{at:02d}Z" for at in range(12, 0, -1)}
    events = [{"lastTimestamp": time, "reason": f"R{at}", "message": "a\nb"} for at, time in times.items()]
    lines = describe_pods([READY | {"metadata": {"name": "p"}}], events).splitlines()
    assert lines[0] == "  pod p: Running, ready"
    assert [line.split(": ")[1] for line in lines[1:]] == [f"R{at}" for at in range(5, 13)]
    assert describe_pods([], []) == "  no pods exist"
    assert is_ready(READY)
