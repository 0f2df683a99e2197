"""A cluster's life as its pods allow, without a Kubernetes: scripted answers of the API server."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from support import needs

from hrrr_dask.clusters.diagnosis import is_ready, story, troubles
from hrrr_dask.errors import RunError

needs.extra("dask_kubernetes")

from hrrr_dask.clusters import kubernetes  # noqa: E402
from hrrr_dask.clusters.spec import KubernetesSpec, Workers  # noqa: E402

SPEC = KubernetesSpec("registry.example/x:1", Workers(1, 3), threads=1, start_timeout_s=0.0)
READY = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}


def pod(name="x-scheduler", **status):
    return {"metadata": {"name": name}, "status": {"phase": "Pending"} | status}


class Script:
    """An API server: for each cluster that is created, in turn, what is listed as its pods."""

    namespace, inside = "default", True

    def __init__(self, *pods, stays=False):
        self._pods, self._stays = list(pods), stays
        self.created, self.there, self.deleted, self.patched = [], set(), [], []

    def try_pod(self, name, pod):
        pass

    def create(self, document):
        name = document["metadata"]["name"]
        assert document["spec"].get("idleTimeout", 0) == 0, "the operator would ask a scheduler that is not there"
        self.created.append((document["kind"], name))
        self.there.add((document["kind"], name))

    def pods(self, cluster, component):
        if cluster in {name for _, name in self.deleted}:
            return [pod(component)] if self._stays else []
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
        if not self._stays:
            self.there.discard((kind, name))

    def get(self, kind, name):
        return {"metadata": {}} if (kind, name) in self.there else None


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    for name in ("POLL_S", "OPERATOR_TIMEOUT_S", "DELETE_S"):
        monkeypatch.setattr(kubernetes, name, 0.0)


def names(api):
    return [name for kind, name in api.created if kind == "DaskCluster"]


def test_what_the_operator_missed_is_made_once_more_under_another_name():
    api = Script([], [READY])
    with kubernetes._made(api, SPEC) as name:
        first, second = names(api)
        assert name == second != first
        assert api.there == {("DaskCluster", second), ("DaskAutoscaler", second)}, "the first is gone"
        assert api.patched == [("DaskCluster", second, {"spec": {"idleTimeout": 3600}})]
    assert api.there == set()


def test_an_operator_that_does_nothing_twice_is_said():
    api = Script([], [])
    with pytest.raises(RunError, match=r"made no pod of cluster .*, twice: see whether it runs .*helm install"):
        kubernetes._made(api, SPEC).__enter__()
    assert (len(names(api)), api.there) == (2, set())


@pytest.mark.parametrize("failure", [KeyError("x"), KeyboardInterrupt()], ids=["failure", "interrupt"])
def test_a_cluster_is_taken_away_whatever_happens(failure):
    api = Script([READY])
    with pytest.raises(type(failure)), kubernetes._made(api, SPEC):
        raise failure
    assert api.there == set()


def test_a_cluster_that_stays_is_named_with_the_command_that_deletes_it():
    api = Script([READY], stays=True)
    with pytest.raises(RunError, match=r"may cost money: kubectl delete daskcluster \S+ --namespace default"):
        with_it(api)


def test_a_failure_is_not_hidden_by_a_cluster_that_stays():
    api = Script([READY], stays=True)
    with pytest.raises(KeyError) as failure, kubernetes._made(api, SPEC):
        raise KeyError("x")
    assert "kubectl delete daskcluster" in failure.value.__notes__[0]


def test_a_cluster_without_pods_is_waited_for_as_they_may_still_come():
    api = Script([READY])
    api.there.add(("DaskCluster", "x"))
    assert not kubernetes._is_terminating(api, "x")
    api.there.clear()
    assert kubernetes._is_terminating(api, "x")


def test_a_cluster_whose_pods_all_end_is_left_alone():
    api = Script([READY])
    api.there.add(("DaskCluster", "x"))
    ending = {"metadata": {"deletionTimestamp": "2024-01-01T00:00:00Z"}}
    for pods, leaving in (([ending], True), ([ending, pod()], False)):
        api.pods = lambda *_, pods=pods: pods
        assert kubernetes._is_terminating(api, "x") == leaving


def with_it(api):
    with kubernetes._made(api, SPEC):
        pass


@contextmanager
def waiting_for_a_worker(api, spec):
    api.create({"kind": "DaskCluster", "metadata": {"name": "x"}, "spec": {}})
    kubernetes._wait_for_worker(api, spec, "x", dict)
    yield


def test_workers_that_do_not_come_are_said_with_their_reason():
    text = "0/3 nodes are available: 3 Insufficient cpu."
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
    api = Script([pod("x-worker", conditions=[unscheduled])])
    with pytest.raises(RunError, match=r"a worker of cluster x is not ready after 0 s .*3 Insufficient cpu"):
        waiting_for_a_worker(api, SPEC).__enter__()


def test_a_worker_that_crashes_is_said_with_the_end_of_its_log():
    crashed = {"restartCount": 2, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}, "image": "i:1"}
    api = Script([pod("x-worker", containerStatuses=[crashed])])
    with pytest.raises(RunError, match=r"(?s)\(Error, exit code 1\).*image i:1.*ModuleNotFoundError: hrrr_dask"):
        waiting_for_a_worker(api, SPEC).__enter__()


# What pods say


def waiting(reason, message=""):
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(containerStatuses=[{"name": "c", "image": "i:1", "restartCount": 0, "state": state}])


def test_a_first_failed_pull_may_still_heal_and_a_second_does_not():
    assert troubles([waiting("ErrImagePull")]) == []
    [trouble] = troubles([waiting("ImagePullBackOff", "not found")])
    assert trouble.hopeless
    assert "image i:1 cannot be pulled (ImagePullBackOff: not found): check kubernetes.image" in trouble.text


def test_a_single_crash_is_no_trouble_and_neither_is_starting():
    once = pod(containerStatuses=[{"restartCount": 1, "state": {}}])
    assert troubles([once, waiting("ContainerCreating"), READY]) == []


def test_the_hopeless_come_first():
    full = pod("full", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])
    found = troubles([full, waiting("CreateContainerConfigError", 'secret "s" not found')])
    assert [trouble.hopeless for trouble in found] == [True, False]


def test_a_story_has_the_pods_and_the_last_events_in_their_order():
    times = {at: f"2024-01-01T00:00:{at:02d}Z" for at in range(12, 0, -1)}
    events = [{"lastTimestamp": time, "reason": f"R{at}", "message": "a\nb"} for at, time in times.items()]
    lines = story([READY | {"metadata": {"name": "p"}}], events).splitlines()
    assert lines[0] == "  pod p: Running, ready"
    assert [line.split(": ")[1] for line in lines[1:]] == [f"R{at}" for at in range(5, 13)]
    assert story([], []) == "  there are no pods"
    assert is_ready(READY)
