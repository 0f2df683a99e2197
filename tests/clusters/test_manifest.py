"""The manifest sent to Kubernetes, and settings that are refused before; no cluster is needed."""

from __future__ import annotations

import socket
import subprocess
import sys

import dask.config
import pytest
import yaml
from click.testing import CliRunner
from support import needs

from hrrr_dask.cli.commands import cli
from hrrr_dask.clusters import manifest_yaml, parse_cluster, schema
from hrrr_dask.clusters.manifest import build_manifest, merge
from hrrr_dask.clusters.secrets import refuse_secrets
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.errors import ConfigError

needs.extra("dask_kubernetes")
kubernetes_validate = needs.extra("kubernetes_validate")

IMAGE = "registry.example/hrrr-dask:1.0"


@pytest.fixture(autouse=True)
def no_user_settings():
    with dask.config.set({"hrrr": {}}):
        yield


def settings(adapt="2:200", **kubernetes):
    return resolve_settings(cluster="kubernetes", adapt=adapt, kubernetes={"image": IMAGE} | kubernetes)


def spec(**kubernetes):
    return parse_cluster(settings(**kubernetes))


def cluster(**kubernetes):
    return build_manifest(spec(**kubernetes), "x")[0]["spec"]


def worker(**kubernetes):
    return cluster(**kubernetes)["worker"]["spec"]


EVERYTHING = {
    "namespace": "weather",
    "cpu": 2,
    "memory": "8Gi",
    "scheduler-cpu": 0.5,
    "spot": True,
    "tolerations": [{"key": "pool", "operator": "Exists"}],
    "node-selector": {"pool": "big"},
    "service-account": "reader",
    "env": {"AWS_REGION": "us-east-1", "DEBUG": 1},
    "secrets": ["store-credentials"],
    "extra-pod-spec": {"priorityClassName": "low", "containers": [{"name": "worker", "workingDir": "/tmp"}]},
}


def test_all_settings_are_in_the_manifest():
    found = cluster(**EVERYTHING)
    pod, scheduler = found["worker"]["spec"], found["scheduler"]["spec"]
    container = pod["containers"][0]
    assert container["resources"] == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}
    assert scheduler["containers"][0]["resources"]["requests"]["cpu"] == "0.5"
    assert [each["key"] for each in pod["tolerations"]] == [
        "cloud.google.com/gke-spot",
        "kubernetes.azure.com/scalesetpriority",
        "pool",
    ]
    assert (pod["nodeSelector"], pod["serviceAccountName"], pod["priorityClassName"]) == (
        {"pool": "big"},
        "reader",
        "low",
    )
    assert {"name": "DEBUG", "value": "1"} in container["env"]
    assert container["envFrom"] == [{"secretRef": {"name": "store-credentials"}}]
    assert (container["image"], container["workingDir"]) == (IMAGE, "/tmp")
    assert build_manifest(spec(**EVERYTHING), "x")[0]["metadata"]["namespace"] == "weather"


def test_the_scheduler_does_not_run_on_spot_nodes():
    assert not {"tolerations", "nodeSelector"} & cluster(**EVERYTHING)["scheduler"]["spec"].keys()


@pytest.mark.parametrize("kubernetes", [{}, EVERYTHING], ids=["least", "most"])
@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_pods_are_valid_and_restricted(part, kubernetes):
    pod = cluster(**kubernetes)[part]["spec"]
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
    kubernetes_validate.validate(whole, "1.33.0", strict=True)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["terminationGracePeriodSeconds"] >= 30
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health"


def test_a_worker_has_the_memory_of_its_pod_minus_that_of_the_nanny():
    args = worker(memory="6Gi")["containers"][0]["args"]
    assert args[:2] == ["dask", "worker"], "distributed ships no dask-worker"
    assert int(args[args.index("--memory-limit") + 1]) == 6 * 2**30 - 256 * 2**20
    assert args[args.index("--nthreads") + 1] == "4"
    assert args[args.index("--name") + 1] == "$(DASK_WORKER_NAME)", "the operator scales down by that name"


@pytest.mark.parametrize("exists", [True, False])
def test_workers_preload_the_drain_module_if_it_exists(exists, monkeypatch):
    monkeypatch.setattr("hrrr_dask.clusters.manifest.PRELOAD", "json" if exists else "hrrr_dask.nothing")
    assert ("--preload" in worker()["containers"][0]["args"]) == exists


def test_pods_write_logs_as_the_command_does(monkeypatch):
    def environment(pod):
        return {item["name"]: item["value"] for item in pod["containers"][0]["env"]}

    monkeypatch.delenv("HRRR_DASK_LOG_FORMAT", raising=False)
    assert not [name for name in environment(worker()) if "LOG" in name]
    monkeypatch.setenv("HRRR_DASK_LOG_FORMAT", "json")
    for pod in (worker(), cluster()["scheduler"]["spec"]):
        assert environment(pod)["HRRR_DASK_LOG_FORMAT"] == "json"
        assert environment(pod)["DASK_LOGGING__DISTRIBUTED"] == "warning"
        assert "--preload hrrr_dask.preload" in " ".join(pod["containers"][0]["args"])


def test_a_range_of_workers_adds_an_autoscaler():
    first, scaler = build_manifest(spec(adapt="2:200"), "x")
    assert first["spec"]["worker"]["replicas"] == 2
    assert scaler["spec"] == {"cluster": "x", "minimum": 2, "maximum": 200}
    [only] = build_manifest(spec(adapt="3:3"), "x")
    assert only["spec"]["worker"]["replicas"] == 3


def test_specs_are_merged_by_key_and_by_name():
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": 3}}) == {"a": {"c": 2, "d": 3}}
    assert merge([1], [2]) == [1, 2]
    assert merge({"securityContext": {"runAsUser": 1000}}, {"securityContext": {"runAsUser": None}}) == {
        "securityContext": {}
    }


# Refused


@pytest.mark.parametrize(
    ("kubernetes", "text"),
    [
        ({"imag": "x"}, r"setting kubernetes\.imag is unknown: did you mean kubernetes\.image\?"),
        ({"image": ""}, r"kubernetes\.image is missing: name an image"),
        ({"image": "Not An Image"}, r"kubernetes\.image 'Not An Image' is not valid in Kubernetes"),
        ({"memory": "6GB"}, r"kubernetes\.memory '6GB' .*: write it like 6Gi"),
        ({"memory": "2Gi"}, r"leaves it 1879 MB: give more, or .*--memory-limit-mb 1879"),
        ({"cpu": "two"}, r"kubernetes\.cpu 'two' .* like 2 or 500m"),
        ({"name": "x" * 41}, "at most 40 characters"),
        ({"namespace": "My_Space"}, r"kubernetes\.namespace 'My_Space'"),
        ({"service_account": "a b"}, r"kubernetes\.service-account 'a b'"),
        ({"secrets": ["a b"]}, r"kubernetes\.secrets 'a b'"),
        ({"env": {"A-B": "x"}}, r"kubernetes\.env 'A-B'"),
        ({"env": ["A"]}, r"kubernetes\.env is a mapping"),
        ({"env": {"A": {"b": 1}}}, r"kubernetes\.env\.A is text"),
        ({"tolerations": {"key": "x"}}, r"kubernetes\.tolerations is a list of mappings"),
        ({"spot": "perhaps"}, r"kubernetes\.spot is true or false"),
        ({"extra_pod_spec": "x"}, r"kubernetes\.extra-pod-spec is a mapping"),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_refused(kubernetes, text):
    with pytest.raises(ConfigError, match=text):
        spec(**kubernetes)


def test_the_number_of_pods_is_required():
    with pytest.raises(ConfigError, match="give --workers N or --adapt MIN:MAX"):
        spec(adapt=None)


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({"nodeSelecter": {"a": "b"}}, r"spec\.worker\.spec\.nodeSelecter is unknown: did you mean nodeSelector\?"),
        ({"hostNetwork": "yes"}, r"spec\.worker\.spec\.hostNetwork is boolean, not 'yes'"),
        ({"tolerations": [{"kee": "x"}]}, r"tolerations\[0\]\.kee is unknown: did you mean key\?"),
        ({"volumes": [{"emptyDir": {}}]}, r"volumes\[1\]\.name is missing"),
    ],
)  # fmt: skip
def test_keys_outside_the_operators_schema_are_refused(extra, text):
    with pytest.raises(ConfigError, match=text):
        manifest_yaml(settings(extra_pod_spec=extra))


def test_the_manifest_matches_the_operators_schema():
    for document in build_manifest(spec(**EVERYTHING), "x"):
        schema.check(document)


SECRETS = [
    ("AWS_SECRET_ACCESS_KEY", "x"),
    ("DB_PASSWORD", "x"),
    ("API_TOKEN", "x"),
    ("AZURE_STORAGE_SAS", "x"),
    ("HARMLESS", "AKIAIOSFODNN7EXAMPLE"),
    ("HARMLESS", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY12"),
    ("HARMLESS", "https://me:hunter2@example.com/x"),
    ("HARMLESS", "-----BEGIN RSA PRIVATE KEY-----"),
    ("HARMLESS", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.x"),
    ("HARMLESS", "DefaultEndpointsProtocol=https;AccountKey=x"),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_secret_in_the_environment_is_refused_without_repeating_its_value(name, value):
    for option in ({"env": {name: value}}, {"extra_pod_spec": {"initContainers": [container_with(name, value)]}}):
        with pytest.raises(ConfigError, match=f"environment variable {name} looks like a secret") as refused:
            manifest_yaml(settings(**option))
        assert value not in str(refused.value).replace(name, "")


def container_with(name, value):
    return {"name": "first", "image": "x", "env": [{"name": name, "value": value}]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_REGION", "us-east-1"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
        ("COMMIT", "0123456789abcdef0123456789abcdef01234567"),
        ("DASK_DISTRIBUTED__WORKER__MEMORY__TERMINATE", "0.95"),
        ("MONKEY", "x"),
    ],
)
def test_harmless_variables_are_accepted(name, value):
    refuse_secrets(build_manifest(spec(env={name: value}), "x"))


def test_a_reference_to_a_secret_is_accepted():
    reference = {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    manifest_yaml(settings(extra_pod_spec={"containers": [{"name": "worker", "env": [reference]}]}))


# Sources of settings


def test_settings_are_read_from_the_environment():
    variables = {"DASK_HRRR__KUBERNETES__IMAGE": IMAGE, "DASK_HRRR__KUBERNETES__CPU": "0.5"}
    variables |= {"DASK_HRRR__KUBERNETES__ENV": "{'TZ': 'UTC'}", "DASK_HRRR__ADAPT": "2:20"}
    with dask.config.set({"hrrr": dask.config.collect_env(variables)["hrrr"]}):
        found = parse_cluster(resolve_settings(cluster="kubernetes"))
    assert (found.image, found.cpu, dict(found.env), found.workers.maximum) == (IMAGE, "0.5", {"TZ": "UTC"}, 20)


def test_settings_do_not_leak_into_the_next_call():
    spec(env={"A": "1"}, node_selector={"a": "b"})
    assert not spec().env
    assert not spec().node_selector


# The command line


def dry_run(*options, cluster="kubernetes"):
    words = ["backfill", "--points", "nowhere.csv", "--start", "2024-01-01", "--end", "2024-01-02"]
    return CliRunner().invoke(cli, [*words, "--store", "s3://b/x.zarr", "--cluster", cluster, "--dry-run", *options])


@pytest.fixture
def no_sockets(monkeypatch):
    def connect(*_):
        raise AssertionError("a dry run used the network")

    monkeypatch.setattr(socket.socket, "connect", connect)


def test_a_dry_run_prints_the_manifest_without_network(no_sockets):
    options = [f"image={IMAGE}", "memory=8Gi", "env.TZ=UTC", "idle-timeout-s=60", "spot=true"]
    done = dry_run("--adapt", "2:200", *(word for option in options for word in ("--kubernetes-option", option)))
    assert done.exit_code == 0, done.output
    first, scaler = yaml.safe_load_all(done.stdout)
    assert (first["kind"], scaler["kind"]) == ("DaskCluster", "DaskAutoscaler")
    assert first["metadata"]["name"] == scaler["spec"]["cluster"]
    assert first["spec"]["idleTimeout"] == 60
    assert {"name": "TZ", "value": "UTC"} in first["spec"]["worker"]["spec"]["containers"][0]["env"]


def test_a_dry_run_refuses_invalid_settings():
    done = dry_run("--workers", "2", "--kubernetes-option", "imag=x")
    assert (done.exit_code, "did you mean kubernetes.image?" in done.stderr) == (2, True)


def test_other_clusters_have_no_manifest():
    done = dry_run(cluster="local")
    assert (done.exit_code, "--cluster local has none: `hrrr-dask plan` prints" in done.stderr) == (2, True)


def test_the_error_without_the_extra_has_the_install_command():
    code = (
        "import sys; sys.modules['dask_kubernetes'] = None; from hrrr_dask.clusters import manifest_yaml\n"
        "from hrrr_dask.config.settings import resolve_settings\n"
        "manifest_yaml(resolve_settings(cluster='kubernetes', workers=1, kubernetes={'image': 'x'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'hrrr-dask[kubernetes]'" in done.stderr.splitlines()[-1]
