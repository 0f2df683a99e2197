"""The files in ``cluster/`` match Kubernetes, the operator, Prometheus, AWS, and each other."""

from __future__ import annotations

import argparse
import ast
import importlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterable
from pathlib import Path

import dask.config
import pytest
from dask.utils import parse_bytes
from support import needs

import hrrr_dask
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.config.settings import resolve_settings

for library in ("dask_kubernetes", "kubernetes_validate", "jsonpatch", "jsonschema"):
    needs.extra(library)

from support import manifests  # noqa: E402  it needs them
from support.manifests import CHART, CLUSTER, Pod, get_object, of_kind, pods, read_documents, selector_matches  # noqa: E402

FILES = sorted(CLUSTER.rglob("*.yaml"))
OTHER_PROGRAMS = ("prefect.yaml", "values.yaml")
"""Files of Prefect and Helm."""
OBJECTS = manifests.objects()
PODS = list(pods())
CLUSTERS = manifests.dask_clusters()
SETTINGS = get_object("ConfigMap", "hrrr-settings")["data"]
KUSTOMIZED = sorted(path.parent for path in CLUSTER.rglob("kustomization.yaml"))
IMAGE = f"registry.example.com/hrrr-dask:{hrrr_dask.__version__}"

each_pod = pytest.mark.parametrize("pod", PODS, ids=[f"{pod.role}-{i}" for i, pod in enumerate(PODS)])


def relative(path: Path) -> str:
    return path.relative_to(CLUSTER).as_posix()


# Each file


@pytest.mark.parametrize("path", [path for path in FILES if path.name not in OTHER_PROGRAMS], ids=relative)
def test_every_manifest_matches_its_schema(path):
    assert read_documents(path)
    for document in read_documents(path):
        manifests.check_schema(document)


@each_pod
def test_the_pods_of_the_manifests_are_valid(pod):
    meta = {"name": "x", "labels": pod.labels, "annotations": pod.annotations}
    manifests.check_schema({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod.spec})


def test_the_schema_check_refuses_unknown_keys():
    job = get_object("DaskJob", "hrrr-backfill")
    job["spec"]["cluster"]["spec"]["worker"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(manifests.jsonschema.ValidationError, match="readinesProbe"):
        manifests.check_schema(job)
    policy = get_object("NetworkPolicy", "hrrr-dask")
    policy["spec"]["ingres"] = []
    with pytest.raises(manifests.kubernetes_validate.ValidationError, match="ingres"):
        manifests.check_schema(policy)


def test_the_values_exist_in_the_operators_chart():
    def missing(given: dict, chart: dict) -> list[str]:
        return [
            key
            for key, value in given.items()
            if key not in chart or (isinstance(value, dict) and chart[key] and missing(value, chart[key]))
        ]

    (values,), (chart,) = read_documents(CLUSTER / "values.yaml"), read_documents(CHART / "values.yaml")
    assert not missing(values, chart)
    assert f"--namespace={get_object('Namespace', 'hrrr')['metadata']['name']}" in values["kopfArgs"]


# Consistency


def test_all_objects_are_in_one_namespace():
    cluster_wide = {"Namespace"}
    found = {one["metadata"].get("namespace") for one in OBJECTS if one["kind"] not in cluster_wide}
    assert found == {get_object("Namespace", "hrrr")["metadata"]["name"]}


def test_names_are_unique():
    found = [(one["kind"], one["metadata"]["name"]) for one in OBJECTS]
    assert len(found) == len(set(found))


@each_pod
def test_the_references_of_a_pod_exist(pod):
    get_object("ServiceAccount", pod.spec["serviceAccountName"])
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    assert {mount["name"] for mount in pod.container["volumeMounts"]} == set(volumes)
    maps = [volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume]
    required = [one for one in pod.container["envFrom"] if not one.get("secretRef", {}).get("optional")]
    maps += [one["configMapRef"]["name"] for one in required]
    for name in maps:
        get_object("ConfigMap", name)
    given = {*SETTINGS, *(one["name"] for one in pod.container.get("env", []))}
    used = {name for word in pod.container["args"] for name in re.findall(r"\$\((\w+)\)", word)}
    assert used <= given
    ports = {port["name"] for port in pod.container.get("ports", [])}
    probes = [pod.container[name] for name in ("readinessProbe", "livenessProbe") if name in pod.container]
    assert all(probe["httpGet"]["port"] in ports for probe in probes)


def test_the_commands_pod_reads_the_mounted_points():
    (runner,) = [pod for pod in PODS if pod.role == "runner"]
    mount = next(one["mountPath"] for one in runner.container["volumeMounts"] if one["name"] == "points")
    for key in get_object("ConfigMap", "hrrr-points")["data"]:
        assert f"{mount}/{key}" in runner.container["args"]


def test_all_pods_have_the_same_image():
    assert {pod.container["image"] for pod in PODS} == {IMAGE}
    for directory in KUSTOMIZED:
        (given,) = read_documents(directory / "kustomization.yaml")
        assert all(f"{image['name']}:{hrrr_dask.__version__}" == IMAGE for image in given.get("images", []))


def test_the_job_and_the_standing_cluster_have_the_same_pods():
    one, other = (json.dumps(cluster["spec"], sort_keys=True) for cluster in CLUSTERS)
    names = [cluster["metadata"]["name"] for cluster in CLUSTERS]
    one, other = json.loads(one), json.loads(other.replace(names[1], names[0]))
    one.pop("idleTimeout")
    assert one == other


def test_the_service_selects_the_scheduler_and_its_ports():
    for cluster in CLUSTERS:
        scheduler, service, _ = manifests.operator_objects(cluster)
        template = scheduler["spec"]["template"]
        manifests.check_schema(service)
        manifests.check_schema(scheduler)
        assert selector_matches({"matchLabels": service["spec"]["selector"]}, template["metadata"]["labels"])
        ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]} == ports


@each_pod
def test_processes_listen_on_the_declared_ports(pod):
    ports = {port["name"]: str(port["containerPort"]) for port in pod.container.get("ports", [])}
    if ports:
        assert pod.option("--dashboard-address") == f":{ports.pop('http-dashboard')}"
        assert not ports or pod.option("--port") == ports["tcp-comm"]


def test_autoscalers_scale_existing_clusters_on_enough_nodes():
    (nodes,) = [
        group for group in read_documents(CLUSTER / "aws" / "eksctl.yaml")[0]["managedNodeGroups"] if "spot" in group
    ]
    assert all(kind.endswith(".2xlarge") for kind in nodes["instanceTypes"]), "8 cores, of which 7 are left for workers"
    for autoscaler in of_kind("DaskAutoscaler"):
        spec = autoscaler["spec"]
        assert spec["cluster"] in {cluster["metadata"]["name"] for cluster in CLUSTERS}
        assert 1 <= spec["minimum"] <= spec["maximum"] <= 7 * nodes["maxSize"]


def selectors() -> list[tuple[str, dict]]:
    found = []
    for one in of_kind("PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        spec = one["spec"]
        found.append((one["metadata"]["name"], spec.get("selector") or spec.get("podSelector")))
        rules = (*spec.get("ingress", []), *spec.get("egress", []))
        peers = [peer for rule in rules for peer in (*rule.get("from", []), *rule.get("to", []))]
        found += [(one["metadata"]["name"], peer["podSelector"]) for peer in peers if "podSelector" in peer]
    return found


@pytest.mark.parametrize(("name", "selector"), selectors())
def test_every_selector_selects_pods(name, selector):
    operator = {"app.kubernetes.io/name": read_documents(CHART / "Chart.yaml")[0]["name"]}
    found = [labels for labels in (operator, *(pod.labels for pod in PODS)) if selector_matches(selector, labels)]
    assert found, f"{name} selects nothing"


@pytest.mark.parametrize("role", ["scheduler", "worker", "runner"])
def test_each_component_has_one_disruption_budget(role):
    for pod in PODS:
        if pod.role == role:
            budgets = of_kind("PodDisruptionBudget")
            assert sum(selector_matches(budget["spec"]["selector"], pod.labels) for budget in budgets) == 1


def allowed_ports(to: Pod, sender: dict[str, str]) -> set[str]:
    """Names of the ports, or `any`, on which the policies allow traffic from a sender to a pod."""
    found = set()
    for policy in of_kind("NetworkPolicy"):
        if selector_matches(policy["spec"]["podSelector"], to.labels):
            for rule in policy["spec"].get("ingress", []):
                if any(
                    "podSelector" in peer and selector_matches(peer["podSelector"], sender) for peer in rule["from"]
                ):
                    found |= {port["port"] for port in rule.get("ports", [{"port": "any"}])}
    return found


def test_policies_allow_traffic_between_the_pods_and_from_the_operator_to_the_scheduler_only():
    scheduler, worker, runner = PODS[:2] + [pod for pod in PODS if pod.role == "runner"]
    for one in (scheduler, worker, runner):
        assert "any" in allowed_ports(scheduler, one.labels) & allowed_ports(worker, one.labels)
    operator = {"app.kubernetes.io/name": "dask-kubernetes-operator"}
    assert allowed_ports(scheduler, operator) == {port["name"] for port in scheduler.container["ports"]}
    assert allowed_ports(worker, operator) == allowed_ports(scheduler, {"app": "a stranger"}) == set()
    assert selector_matches(get_object("NetworkPolicy", "hrrr-nothing")["spec"]["podSelector"], {"app": "anything"})


# Security


@each_pod
def test_pods_are_restricted_and_write_to_tmp_only(pod):
    security, container = pod.spec["securityContext"], pod.container["securityContext"]
    assert security["runAsNonRoot"]
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in (CLUSTER / "Dockerfile").read_text()
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not pod.spec["automountServiceAccountToken"]
    assert not pod.spec["enableServiceLinks"]
    writable = [mount["mountPath"] for mount in pod.container["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["/tmp"]
    assert "emptyDir" in next(volume for volume in pod.spec["volumes"] if volume["name"] == "tmp")


def test_the_files_contain_no_secrets():
    assert not of_kind("Secret")
    text = "\n".join(path.read_text() for path in CLUSTER.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert not re.search(r"AKIA[0-9A-Z]{16}|secret_access_key|secretKeyRef|password\s*[:=]", text, re.IGNORECASE)


@each_pod
def test_memory_is_limited_and_suffices_for_an_accepted_plan(pod):
    resources = pod.container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}
    if pod.role == "worker":
        pod_bytes = parse_bytes(resources["limits"]["memory"] + "B")
        limit = parse_bytes(pod.option("--memory-limit"))
        assert limit + 200e6 < pod_bytes, "the nanny is in the same pod"
        assert int(SETTINGS["DASK_HRRR__MEMORY_LIMIT_MB"]) * 1_000_000 <= limit


@each_pod
def test_workers_have_time_to_drain_and_only_workers_and_updates_run_on_spot_nodes(pod):
    if pod.role == "worker":
        (grace,) = [float(one["value"]) for one in pod.container["env"] if one["name"] == "HRRR_DASK_GRACE_S"]
        assert grace < pod.spec["terminationGracePeriodSeconds"] <= 120, (
            "a spot node has two minutes from notice to stop"
        )
        assert pod.option("--preload") == pod.option("--preload-nanny") == "hrrr_dask.preload"
        assert pod.option("--nworkers") == "1"
    (spot,) = [
        group for group in read_documents(CLUSTER / "aws" / "eksctl.yaml")[0]["managedNodeGroups"] if "spot" in group
    ]
    tolerated = {one["key"] for one in pod.spec.get("tolerations", [])}
    assert ({taint["key"] for taint in spot["taints"]} <= tolerated) == (pod.role in ("worker", "update"))


# Commands and settings


@each_pod
def test_the_command_line_of_each_pod_is_valid(pod, monkeypatch):
    program, *args = pod.container["args"]
    if program == "dask":
        module = importlib.import_module(f"distributed.cli.dask_{args[0]}")
        module.main.make_context(args[0], args[1:])
        return
    assert program == "python"
    script = Path(args[0])
    assert str(script.parent) == "/opt/hrrr", "path of cluster/*.py in the Dockerfile"
    monkeypatch.syspath_prepend(str(CLUSTER))
    parser: argparse.ArgumentParser = importlib.import_module(script.stem)._parser()
    given = parser.parse_args(args[1:])
    assert script.stem == "watch" or given.gaps_are_done, "for Kubernetes, exit code 3 is a failure"


def test_all_settings_exist_in_dask_or_hrrr_dask():
    found = dask.config.collect_env(SETTINGS)
    ours = found.pop("hrrr")
    assert resolve_settings(**ours)["memory-limit-mb"] == ours["memory_limit_mb"]
    dask.config.refresh()

    def unknown(given: dict, defaults: dict, path: str = "") -> list[str]:
        names = {dask.config.canonical_name(key, defaults): key for key in given}
        return [
            f"{path}{key}"
            for name, key in names.items()
            if name not in defaults
            or (isinstance(defaults[name], dict) and unknown(given[key], defaults[name], f"{path}{key}."))
        ]

    assert found.pop("logging") == {"distributed": "warning"}  # read by distributed; it has no default
    assert not unknown(found, dask.config.config)
    routes = found["distributed"]["scheduler"]["http"]["routes"]
    assert set(dask.config.get("distributed.scheduler.http.routes")) < set(routes)
    assert all(importlib.import_module(route).routes for route in routes)


# AWS


ACTIONS = {
    "get": {"s3:GetObject"},
    "head": {"s3:GetObject"},
    "open_reader": {"s3:GetObject"},
    "put": {"s3:PutObject"},
    "open_writer": {"s3:PutObject", "s3:AbortMultipartUpload"},
    "rename": {"s3:GetObject", "s3:PutObject", "s3:DeleteObject"},
    "delete": {"s3:DeleteObject"},
    "list": {"s3:ListBucket"},
    "list_with_delimiter": {"s3:ListBucket"},
}
"""Permissions that obstore's functions need, by https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
(a put with If-Match also needs s3:GetObject)."""


def test_the_role_has_exactly_the_permissions_that_the_store_needs():
    tree = ast.parse((Path(hrrr_dask.__file__).parent / "objects" / "objects.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    used = [call for call in calls if isinstance(call.func.value, ast.Name) and call.func.value.id == "obstore"]
    puts = [call for call in used if call.func.attr == "put"]
    assert puts
    for call in puts:  # only exports upload in parts
        assert any(word.arg == "use_multipart" and word.value.value is False for word in call.keywords)
    policy = json.loads((CLUSTER / "aws" / "store-policy.json").read_text())
    archive, write, listing = policy["Statement"]
    allowed = {*write["Action"], listing["Action"]}
    assert allowed == set().union(*(ACTIONS[call.func.attr] for call in used))
    bucket, _, prefix = SETTINGS["HRRR_STORE"].removeprefix("s3://").partition("/")
    directory = prefix.rpartition("/")[0]
    assert write["Resource"] == f"arn:aws:s3:::{bucket}/{directory}/*"
    assert listing["Resource"] == f"arn:aws:s3:::{bucket}"
    assert listing["Condition"] == {"StringLike": {"s3:prefix": f"{directory}/*"}}
    source = parse_source("aws", {})
    assert archive["Resource"] == f"arn:aws:s3:::{source.url.removeprefix('s3://')}/*"


def test_the_role_has_exactly_the_permissions_that_a_watcher_needs():
    source = (Path(hrrr_dask.__file__).parent / "events" / "queue.py").read_text()
    called = set(re.findall(r'"((?:get_queue|receive|change|delete)_\w+)"', source))
    needed = {"sqs:" + "".join(word.capitalize() for word in name.removesuffix("_batch").split("_")) for name in called}
    (statement,) = json.loads((CLUSTER / "aws" / "queue-policy.json").read_text())["Statement"]
    assert set(statement["Action"]) == needed
    (access,) = json.loads((CLUSTER / "aws" / "queue-access.json").read_text())["Statement"]
    assert access["Resource"] == statement["Resource"]
    region, account, name = statement["Resource"].removeprefix("arn:aws:sqs:").split(":")
    url = f"https://sqs.{region}.amazonaws.com/{account}/{name}"
    (pod,) = [pod for pod in PODS if pod.role == "watch"]
    assert {"name": "HRRR_QUEUE", "value": url} in pod.container["env"]
    (scaled,) = of_kind("ScaledObject")
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["metadata"]["queueURL"] == url
    assert trigger["metadata"]["awsRegion"] == region
    get_object("Deployment", scaled["spec"]["scaleTargetRef"]["name"])
    get_object("TriggerAuthentication", trigger["authenticationRef"]["name"])


def test_the_role_trusts_the_service_accounts():
    policy = json.loads((CLUSTER / "aws" / "trust-policy.json").read_text())
    conditions = policy["Statement"][0]["Condition"]["StringEquals"]
    (subjects,) = [value for key, value in conditions.items() if key.endswith(":sub")]
    accounts = of_kind("ServiceAccount")
    names = [f"system:serviceaccount:{one['metadata']['namespace']}:{one['metadata']['name']}" for one in accounts]
    assert sorted(subjects) == sorted(names)
    account = policy["Statement"][0]["Principal"]["Federated"].split(":")[4]
    roles = {one["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for one in accounts}
    assert roles == {f"arn:aws:iam::{account}:role/hrrr-dask"}


# Prometheus


@pytest.fixture(scope="module")
def series() -> dict[str, set[str]]:
    """Metrics of a scheduler: name to labels, as ``name="value"``."""
    needs.extra("prometheus_client")
    from distributed import Client, LocalCluster

    here = {"host": "127.0.0.1", "protocol": "tcp", "worker_dashboard_address": "127.0.0.1:0"}
    here |= {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**here) as cluster, Client(cluster) as client:
        client.submit(sum, [1], key="extract-20240101T00-f00-0").result(timeout=60)
        url = f"http://127.0.0.1:{cluster.scheduler.http_server.port}/metrics"
        with urllib.request.urlopen(url, timeout=60) as response:
            text = response.read().decode()
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"(\w+)(?:\{(.*)\})? ", line):
            found.setdefault(match[1], set()).update(re.findall(r'(\w+="[^"]*")', match[2] or ""))
    return found


def test_rules_use_existing_metrics_and_labels_of_dask(series):
    groups = get_object("PrometheusRule", "hrrr-dask")["spec"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    from_the_monitors = {"namespace", "dask_org_cluster_name"}
    for rule in rules:
        if "hrrr_dask_" in rule["expr"]:  # tests/telemetry/test_monitoring.py checks what is ours
            continue
        assert not set(re.findall(r"(?:by|on) \(([^)]*)\)", rule["expr"])) - {"namespace, dask_org_cluster_name"}
        for name, labels in re.findall(r"\b((?:dask_|hrrr:)[\w:]+)(?:\{([^}]*)\})?", rule["expr"]):
            if name in from_the_monitors:
                continue
            assert name in {*series, *recorded}
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', labels):
                assert {f'{label}="{value}"' for value in values.split("|")} <= series[name]


@needs.program("promtool")
def test_promtool_accepts_the_rules(tmp_path):
    groups = get_object("PrometheusRule", "hrrr-dask")["spec"]["groups"]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": groups}))
    command = ["promtool", "check", "rules", tmp_path / "rules.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_monitors_scrape_existing_ports_and_labels():
    for cluster in CLUSTERS:
        _, service, worker = manifests.operator_objects(cluster)
        (of_services,), (of_pods,) = of_kind("ServiceMonitor"), of_kind("PodMonitor")
        assert selector_matches(of_services["spec"]["selector"], service["metadata"]["labels"])
        names = {port["name"] for port in service["spec"]["ports"]}
        assert {one["port"] for one in of_services["spec"]["endpoints"]} <= names
        names = {port["name"] for port in worker["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {one["port"] for one in of_pods["spec"]["podMetricsEndpoints"]} <= names
        for monitor in (of_services, of_pods):
            targets = monitor["spec"].get("targetLabels") or monitor["spec"]["podTargetLabels"]
            assert set(targets) <= set(service["metadata"]["labels"])


# Kustomize


@pytest.mark.parametrize("directory", KUSTOMIZED, ids=relative)
def test_rendered_kustomizations_are_valid(directory):
    for document in manifests.render_kustomization(directory):
        manifests.check_schema(document)


@needs.program("kubectl")
@pytest.mark.parametrize("directory", KUSTOMIZED, ids=relative)
def test_kubectl_renders_the_same_kustomizations(directory):
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, check=True)

    def by_name(documents: Iterable[manifests.Document]) -> dict[tuple[str, str], manifests.Document]:
        return {(one["kind"], one["metadata"]["name"]): one for one in documents}

    assert by_name(manifests.yaml.safe_load_all(done.stdout)) == by_name(manifests.render_kustomization(directory))


def test_with_kind_all_writing_pods_share_the_store():
    found = manifests.render_kustomization(CLUSTER / "kind")
    for pod in pods(found):
        assert pod.container["image"] == "hrrr-dask:dev"
        assert "nodeSelector" not in pod.spec
        paths = [mount["mountPath"] for mount in pod.container["volumeMounts"] if mount["name"] == "store"]
        assert (paths == ["/store"]) == (pod.role in ("worker", "runner"))
    (settings,) = [one for one in found if one["metadata"]["name"] == "hrrr-settings"]
    assert settings["data"]["HRRR_STORE"].startswith("/store/")
    claims = {one["metadata"]["name"] for one in of_kind("PersistentVolumeClaim", among=found)}
    volumes = [volume for pod in pods(found) for volume in pod.spec["volumes"]]
    used = {one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one}
    assert used == claims


# README


def test_the_readme_names_existing_files_and_objects():
    text = (CLUSTER / "README.md").read_text()
    linked = {f"cluster/{path}" for path in re.findall(r"\]\((\w[\w./]*)\)", text)}
    paths = {*re.findall(r"cluster/[\w./-]*\w", text), *linked}
    assert len(paths) > 15
    assert not [path for path in paths if not (CLUSTER.parent / path).exists()]
    names = {one["metadata"]["name"] for one in OBJECTS}
    created = {f"{cluster['metadata']['name']}-scheduler" for cluster in CLUSTERS} | {"hrrr-backfill-runner"}
    created |= {one["secretRef"]["name"] for pod in PODS for one in pod.container["envFrom"] if "secretRef" in one}
    assert set(re.findall(r"\bhrrr-(?!dask\b|control-plane)[a-z-]+", text)) <= names | created
    account = set(re.findall(r"\d{12}", text))
    assert account == set(re.findall(r"\d{12}", (CLUSTER / "aws" / "trust-policy.json").read_text()))
    assert f"hrrr-dask:{hrrr_dask.__version__}" in text


def test_the_command_that_installs_the_operator_is_the_same_everywhere():
    text = (CLUSTER / "README.md").read_text() + (CLUSTER / "values.yaml").read_text()
    found = re.findall(r"helm install dask-operator.*?values\.yaml", text, re.DOTALL)
    assert len(found) == 3
    assert len({" ".join(one.replace("\\", " ").replace("#", " ").split()) for one in found}) == 1
