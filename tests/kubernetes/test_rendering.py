"""What the chart renders: pods and what surrounds them. Nothing runs here."""

import math
from typing import Any

import pytest

from gpt_server.edge.config import EdgeSettings
from gpt_server.services.common.config import ServiceSettings
from gpt_server.services.common.service import STOP_GRACE_S
from tests.kubernetes.chart import EXAMPLES, PREFIX, Objects, env_of, find, of_kind, pod_of, render, settings_of

POOLS = EXAMPLES["gpu-pools"]


@pytest.fixture(scope="module", params=EXAMPLES)
def objects(request: pytest.FixtureRequest) -> Objects:
    """Each example."""
    return render(EXAMPLES[request.param])


@pytest.fixture(scope="module")
def pools() -> Objects:
    """The example with everything in it."""
    return render(POOLS)


def pods(objects: Objects) -> list[Any]:
    """Returns the pods of Deployments, and that of `helm test`."""
    return [one["spec"]["template"]["spec"] for one in of_kind(objects, "Deployment")] + [
        one["spec"] for one in of_kind(objects, "Pod")
    ]


def containers(objects: Objects) -> list[Any]:
    """Returns the containers of all pods, those that prepare them too."""
    return [one for pod in pods(objects) for one in (*pod["containers"], *pod.get("initContainers", ()))]


def test_every_pod_is_restricted(objects: Objects) -> None:
    for pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_nothing_but_the_cache_is_writable(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert writable - {"/dev/shm"} == {"/cache"}
        env = env_of(container)
        assert {env["HOME"], env["TMPDIR"], env["XDG_CACHE_HOME"]} == {"/cache"}


def test_a_pod_has_time_to_drain(objects: Objects) -> None:
    """preStop, the drain that the settings allow, and what closing an engine takes."""
    for deployment in of_kind(objects, "Deployment"):
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        pause_s = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
        settings = settings_of(objects, deployment["metadata"]["name"])
        drain_s = math.ceil(settings["drain_timeout_s"])
        assert pod["terminationGracePeriodSeconds"] >= pause_s + drain_s + STOP_GRACE_S * 2 + 5


def test_a_longer_drain_gets_a_longer_grace() -> None:
    grace = [
        pod_of(render(POOLS, values={"drain_timeout_s": drain_s, "pre_stop_s": 7}), "large")[
            "terminationGracePeriodSeconds"
        ]
        for drain_s in (30, 600.5)
    ]
    assert grace == [7 + 30 + 15, 7 + 601 + 15]


def test_probes_ask_the_admin_port(objects: Objects) -> None:
    for deployment in of_kind(objects, "Deployment"):
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        settings = settings_of(objects, deployment["metadata"]["name"])
        assert ports["admin"] == settings["admin"]["port"]
        assert ports.get("grpc", ports.get("http")) == settings.get("grpc", settings)["port"]
        for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "admin"}
        assert container["startupProbe"]["httpGet"]["port"] == "admin"


def test_a_model_has_its_time_to_load(pools: Objects) -> None:
    startup = pod_of(pools, "large")["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] == 3600
    assert startup["httpGet"]["path"] == "/readyz"
    assert find(pools, "Deployment", "large")["spec"]["progressDeadlineSeconds"] > 3600


def test_one_deployment_for_each_group_of_replicas(pools: Objects) -> None:
    found = {one["metadata"]["name"]: one["spec"].get("replicas") for one in of_kind(pools, "Deployment")}
    assert found == {
        f"{PREFIX}-{name}": replicas
        for name, replicas in {
            "edge": None,
            "large": 2,
            "small-l40s": 2,
            "small-h100": 1,
            "embed": None,
            "listen": 1,
            "draw": None,
        }.items()
    }, "what scales itself has no number here"
    assert settings_of(pools, "small-l40s") == settings_of(pools, "small-h100")


def test_gpus_nodes_and_shared_memory(pools: Objects) -> None:
    pod = pod_of(pools, "large")
    (container,) = pod["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "16", "memory": "128Gi"},
        "limits": {"nvidia.com/gpu": 4},
    }
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
    assert settings_of(pools, "large")["models"]["large"]["gpus"] == 4
    assert pod_of(pools, "small-l40s")["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L40S"}
    assert pod_of(pools, "small-l40s")["containers"][0]["resources"]["requests"] == {"cpu": "4", "memory": "24Gi"}


def test_a_model_on_the_cpu_sees_no_gpu() -> None:
    (container,) = pod_of(render(EXAMPLES["cpu-demo"]), "demo-chat")["containers"]
    env = env_of(container)
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["OMP_NUM_THREADS"] == {"resourceFieldRef": {"resource": "limits.cpu"}}
    assert "nvidia.com/gpu" not in container["resources"]["limits"]


def test_a_model_is_downloaded_before_its_service_starts(pools: Objects) -> None:
    pod = pod_of(pools, "draw")
    (download,) = pod["initContainers"]
    assert download["command"][-2:] == ["black-forest-labs/FLUX.1-schnell", "/models/draw"]
    assert env_of(download)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub-token", "key": "token"}}
    assert settings_of(pools, "draw")["models"]["draw"]["model"] == "/models/draw"
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "readOnly": True}
    assert {"name": "models", "persistentVolumeClaim": {"claimName": "models"}} in pod["volumes"]


def test_a_claim_of_the_charts_own_outlives_the_release() -> None:
    claim = find(render(EXAMPLES["one-gpu-node"]), "PersistentVolumeClaim", "chat")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "50Gi"}}}


def test_images(pools: Objects) -> None:
    images = {one["image"] for one in containers(pools)}
    assert images == {
        f"registry.example.com/gpt-server-{part}:0.1.0"
        for part in ("edge", "llm-vllm", "embed-sentence_transformers", "audio-whisper", "image-diffusers")
    }
    assert all(pod["imagePullSecrets"] == [{"name": "registry"}] for pod in pods(pools))
    own = {"models": {"large": {"kubernetes": {"image": "mine:1"}}}, "image": {"tag": "2", "registry": ""}}
    (container,) = pod_of(render(POOLS, values=own), "large")["containers"]
    assert container["image"] == "mine:1"
    (container,) = pod_of(render(POOLS, values=own), "edge")["containers"]
    assert container["image"] == "gpt-server-edge:2"


def test_gpus_are_given_back_before_they_are_asked_for(pools: Objects) -> None:
    rolling = {name: find(pools, "Deployment", name)["spec"]["strategy"]["rollingUpdate"] for name in ("large", "edge")}
    assert rolling["large"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert rolling["edge"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_services_are_resolved_by_the_edge(pools: Objects) -> None:
    service = find(pools, "Service", "services")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    edge = settings_of(pools, "edge")
    port = settings_of(pools, "large")["grpc"]["port"]
    assert edge["discovery"]["dns"] == [f"{service['metadata']['name']}.ai.svc:{port}"]
    selector = service["spec"]["selector"]
    for deployment in of_kind(pools, "Deployment"):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert (selector.items() <= labels.items()) == (deployment["metadata"]["name"] != f"{PREFIX}-edge")
    for_callers = find(pools, "Service", "small")["spec"]
    assert for_callers["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in for_callers
    assert for_callers["selector"]["gpt-server/model"] == "small"


def test_consul_instead_of_dns() -> None:
    consul = {"address": "https://consul.example.com:8501", "prefix": "gpt", "check": {"interval_s": 10}}
    secrets = {"consulToken": {"name": "consul"}, "consulTls": {"name": "consul-tls", "clientCertificate": True}}
    objects = render(POOLS, values={"consul": consul, "secrets": secrets})
    service, edge = settings_of(objects, "large")["consul"], settings_of(objects, "edge")["consul"]
    assert service["check"] == {"interval_s": 10}
    assert edge == {key: value for key, value in service.items() if key != "check"}
    assert service["token_file"] == "/secrets/consul-token/token"
    assert service["tls"]["cert_file"] == "/secrets/consul-tls/tls.crt"
    assert "dns" not in settings_of(objects, "edge")["discovery"]
    for name in ("large", "edge"):
        pod = pod_of(objects, name)
        assert {"name": "consul-tls", "secret": {"secretName": "consul-tls"}} in pod["volumes"]
        paths = {mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        assert {"/secrets/consul-token", "/secrets/consul-tls"} <= paths


def test_mutual_tls_and_tokens(pools: Objects) -> None:
    edge, service = settings_of(pools, "edge"), settings_of(pools, "large")
    assert service["grpc"]["tls"]["client_ca_file"] == edge["channel"]["tls"]["ca_file"] == "/tls/ca.crt"
    for party, name in (("service", "large"), ("edge", "edge")):
        certificate = find(pools, "Certificate", party)["spec"]
        assert certificate["issuerRef"] == {
            "name": "cluster-authority",
            "kind": "ClusterIssuer",
            "group": "cert-manager.io",
        }
        volumes = {volume["name"]: volume for volume in pod_of(pools, name)["volumes"]}
        assert volumes["tls"]["secret"]["secretName"] == certificate["secretName"]
    assert edge["channel"]["tls"]["server_name"] in find(pools, "Certificate", "service")["spec"]["dnsNames"]
    shown = {volume["name"]: volume for volume in pod_of(pools, "edge")["volumes"]}["service-tokens"]
    taken = {volume["name"]: volume for volume in pod_of(pools, "large")["volumes"]}["service-tokens"]
    assert shown["secret"]["items"] == [{"key": "token", "path": "token"}]
    assert taken["secret"]["items"] == [{"key": "tokens", "path": "tokens"}]
    tls = {"enabled": True, "serviceSecret": "mine", "edgeSecret": "other"}
    own = render(EXAMPLES["one-gpu-node"], values={"tls": tls})
    assert not of_kind(own, "Certificate")
    assert {"name": "tls", "secret": {"secretName": "mine"}} in pod_of(own, "chat")["volumes"]
    assert {"name": "tls", "secret": {"secretName": "other"}} in pod_of(own, "edge")["volumes"]


def test_who_may_connect(pools: Objects) -> None:
    services = find(pools, "NetworkPolicy", "services")["spec"]
    callers, prometheus = services["ingress"]
    assert callers["ports"] == [{"port": "grpc"}]
    (peer,) = callers["from"]
    edge_labels = find(pools, "Deployment", "edge")["spec"]["template"]["metadata"]["labels"]
    assert peer["podSelector"]["matchLabels"].items() <= edge_labels.items()
    assert prometheus["ports"] == [{"port": "admin"}]
    assert "namespaceSelector" in prometheus["from"][0]
    anyone, _ = find(pools, "NetworkPolicy", "edge")["spec"]["ingress"]
    assert anyone == {"ports": [{"port": "http"}]}
    assert not of_kind(render(POOLS, values={"networkPolicy": {"enabled": False}}), "NetworkPolicy")


def test_streams_pass_an_ingress() -> None:
    ingress = {"enabled": True, "host": "llm.example.com", "className": "nginx", "tlsSecretName": "certificate"}
    objects = render(
        POOLS,
        values={"edge": {"kubernetes": {"ingress": ingress | {"annotations": {"a": "b"}}}, "request_timeout_s": 900}},
    )
    found = find(objects, "Ingress", "edge")
    annotations = found["metadata"]["annotations"]
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffering"] == "off"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > 900
    assert annotations["a"] == "b"
    assert found["spec"]["tls"] == [{"hosts": ["llm.example.com"], "secretName": "certificate"}]
    (rule,) = found["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    service = find(objects, "Service", "edge")
    assert (backend["name"], backend["port"]["name"]) == (
        service["metadata"]["name"],
        service["spec"]["ports"][0]["name"],
    )


def test_streams_pass_a_gateway(pools: Objects) -> None:
    (rule,) = find(pools, "HTTPRoute", "edge")["spec"]["rules"]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    assert rule["backendRefs"] == [{"name": f"{PREFIX}-edge", "port": 80}]


def test_models_come_and_go_without_a_restart_of_the_edge(pools: Objects) -> None:
    more = render(POOLS, values={"models": {"new": {"engine": "hf", "model": "org/new"}, "listen": {"replicas": 0}}})
    changed = {one["metadata"]["name"] for one in more} - {one["metadata"]["name"] for one in pools}
    assert changed == {f"{PREFIX}-new"}
    for name in ("edge", "large", "draw"):
        assert find(more, "Deployment", name) == find(pools, "Deployment", name)
    expected = settings_of(more, "models")["expected_models"]
    assert {"new", "draw"} < set(expected)
    assert "listen" not in expected, "it is switched off, and draw only sleeps"


def test_new_settings_restart_what_they_are_for_alone(pools: Objects) -> None:
    changed = render(POOLS, values={"models": {"listen": {"limits": {"max_running": 3}}}})
    restarted = [
        one["metadata"]["name"]
        for one in of_kind(pools, "Deployment")
        if find(changed, "Deployment", one["metadata"]["name"]) != one
    ]
    assert restarted == [f"{PREFIX}-listen"]


def test_served_names_are_those_of_the_launcher() -> None:
    loras = render(EXAMPLES["many-loras"])
    names = settings_of(loras, "models")["expected_models"]
    assert names == sorted(["qwen3", "qwen3:support", "support", "qwen3:legal", "legal"])


def test_defaults_are_the_processes_own(pools: Objects) -> None:
    """What a file does not say is not written, so it cannot grow old."""
    for section, settings in (
        (settings_of(pools, "edge"), EdgeSettings),
        (settings_of(pools, "large"), ServiceSettings),
    ):
        assert set(section) <= set(settings.model_fields)
    assert settings_of(pools, "edge")["max_body_bytes"] == 67108864


def test_where_images_lie_that_are_asked_for_by_url(pools: Objects) -> None:
    assert settings_of(pools, "edge")["files"] == {"folder": "/cache/files"}
    shared = render(POOLS, values={"edge": {"kubernetes": {"filesClaim": "images"}}})
    assert settings_of(shared, "edge")["files"] == {"folder": "/files"}
    assert {"name": "files", "persistentVolumeClaim": {"claimName": "images"}} in pod_of(shared, "edge")["volumes"]
    s3 = {"bucket": "images", "access_key_id": "edge"}
    bucket = render(POOLS, values={"edge": {"files": {"s3": s3}}, "secrets": {"bucketKey": {"name": "bucket"}}})
    secret = "/secrets/bucket-key/secret"
    assert settings_of(bucket, "edge")["files"] == {"s3": s3 | {"secret_access_key_file": secret}}
    assert {"name": "bucket-key", "secret": {"secretName": "bucket"}} in pod_of(bucket, "edge")["volumes"]
