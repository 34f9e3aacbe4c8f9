"""The contract: what users of the project know by heart. Names, ports, labels, images, variables, probes of the default overlays."""

import pytest
from manifests import find, label, literal_env, of_kind, pods, rendered, settings

POSTGRES, REDIS = "overlays/postgres-queue", "overlays/redis-queue"
BOTH = pytest.mark.parametrize("root", [POSTGRES, REDIS])


def container(objects, kind, name):
    containers = find(objects, kind, name)["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in containers] == [name]
    return containers[0]


def secret_env(spec):
    return {entry["name"]: entry["valueFrom"]["secretKeyRef"] for entry in spec["env"] if "secretKeyRef" in entry.get("valueFrom", {})}


def map_env(spec):
    return {entry["name"]: entry["valueFrom"]["configMapKeyRef"] for entry in spec["env"] if "configMapKeyRef" in entry.get("valueFrom", {})}


def ports(service):
    return [(port["name"], port["port"]) for port in service["spec"]["ports"]]


def test_the_objects_of_the_default_are_these():
    objects = {label(thing) for thing in rendered(POSTGRES)} - {f"ConfigMap/{settings(rendered(POSTGRES))['metadata']['name']}"}
    assert objects == {
        "Namespace/mini-project", "ConfigMap/connection", "Service/postgres", "StatefulSet/postgres", "Job/db-init", "Service/api",
        "Deployment/api", "Deployment/worker",
    }


def test_redis_mode_adds_redis_and_changes_only_settings():
    postgres, redis = rendered(POSTGRES), rendered(REDIS)
    added = {label(thing) for thing in redis} - {label(thing) for thing in postgres}
    assert added == {"Service/redis", "Deployment/redis", label(settings(redis))}
    old, new = settings(postgres), settings(redis)
    assert new["data"] == old["data"] | {"QUEUE_BACKEND": "redis", "REDIS_ADDR": "redis:6379"}
    hashes = old["metadata"]["name"], new["metadata"]["name"]
    for thing in postgres:
        if thing["kind"] != "ConfigMap":
            same = find(redis, thing["kind"], thing["metadata"]["name"])
            assert str(thing).replace(*hashes) == str(same), f"{label(thing)} differs"


@BOTH
def test_no_secret_is_rendered_and_postgres_auth_is_read(root):
    objects = rendered(root)
    assert not of_kind(objects, "Secret")
    for kind, name in (("Deployment", "api"), ("Deployment", "worker"), ("Job", "db-init"), ("StatefulSet", "postgres")):
        assert secret_env(container(objects, kind, name)) == {"POSTGRES_PASSWORD": {"name": "postgres-auth", "key": "password"}}


@BOTH
def test_labels(root):
    for thing in rendered(root):
        labels = thing["metadata"]["labels"]
        assert labels["app.kubernetes.io/part-of"] == "mini-project" and labels["app.kubernetes.io/managed-by"] == "kubectl"
        if thing["kind"] != "ConfigMap":
            assert labels["app.kubernetes.io/name"] == thing["metadata"]["name"]
    for pod in pods(rendered(root)):
        name = pod.owner["metadata"]["name"]
        assert pod.labels["app.kubernetes.io/name"] == name
        if pod.owner["kind"] != "Job":
            assert pod.owner["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/name": name}}


@BOTH
def test_postgres(root):
    objects = rendered(root)
    stateful, spec = find(objects, "StatefulSet", "postgres"), container(objects, "StatefulSet", "postgres")
    assert ports(find(objects, "Service", "postgres")) == [("postgres", 5432)]
    assert spec["image"] == "postgres:16" and spec["ports"] == [{"name": "postgres", "containerPort": 5432}]
    env = literal_env(spec)
    assert (env["POSTGRES_DB"], env["POSTGRES_USER"]) == ("app", "app")
    claim = stateful["spec"]["volumeClaimTemplates"][0]
    assert len(stateful["spec"]["volumeClaimTemplates"]) == 1 and claim["metadata"]["name"] == "data"
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"] and claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    for probe in ("readinessProbe", "livenessProbe"):
        command = spec[probe]["exec"]["command"]
        # By TCP, or the temporary server of the first start would count.
        assert command[0] == "pg_isready" and "127.0.0.1" in command
    mount = {entry["name"]: entry["mountPath"] for entry in spec["volumeMounts"]}["data"]
    assert env["PGDATA"].startswith(mount + "/")
    pod = stateful["spec"]["template"]["spec"]
    assert pod["securityContext"]["fsGroup"] == 999 and pod["terminationGracePeriodSeconds"] == 120


@BOTH
def test_db_init(root):
    objects = rendered(root)
    job, spec = find(objects, "Job", "db-init"), container(objects, "Job", "db-init")
    assert job["spec"]["backoffLimit"] >= 1
    assert spec["image"] == "ghcr.io/your-org/mini-worker:1.0.0" and spec["command"] == ["/usr/local/bin/migrate"]
    assert map_env(spec)["DATABASE_URL"] == {"name": "connection", "key": "DATABASE_URL"}


@BOTH
def test_api(root):
    objects = rendered(root)
    spec = container(objects, "Deployment", "api")
    service = find(objects, "Service", "api")
    assert ports(service) == [("http", 80)] and service["spec"]["ports"][0]["targetPort"] == "http"
    assert spec["ports"] == [{"name": "http", "containerPort": 8080}]
    assert find(objects, "Deployment", "api")["spec"]["replicas"] == 2
    assert spec["image"] == "ghcr.io/your-org/mini-api:1.0.0"
    assert spec["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    assert spec["livenessProbe"]["httpGet"] == {"path": "/live", "port": "http"}
    assert "startupProbe" in spec and "command" not in spec and "args" not in spec


@BOTH
def test_worker(root):
    objects = rendered(root)
    deployment, spec = find(objects, "Deployment", "worker"), container(objects, "Deployment", "worker")
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 60
    assert spec["image"] == "ghcr.io/your-org/mini-worker:1.0.0"
    assert spec["ports"] == [{"name": "health", "containerPort": 8081}]
    assert spec["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "health"}
    assert spec["livenessProbe"]["httpGet"] == {"path": "/live", "port": "health"}
    assert literal_env(spec)["WORKER_CONCURRENCY"] == "5"


@BOTH
def test_environment(root):
    objects = rendered(root)
    assert settings(objects)["data"]["DATABASE_URL"] == "postgresql://app@postgres:5432/app"
    for name in ("api", "worker"):
        spec = container(objects, "Deployment", name)
        assert map_env(spec)["DATABASE_URL"]["name"] == settings(objects)["metadata"]["name"]


def test_redis():
    objects = rendered(REDIS)
    spec = container(objects, "Deployment", "redis")
    assert ports(find(objects, "Service", "redis")) == [("redis", 6379)]
    assert find(objects, "Deployment", "redis")["spec"]["replicas"] == 1
    assert spec["image"] == "redis:7" and spec["ports"] == [{"name": "redis", "containerPort": 6379}]
    assert all(spec[probe]["tcpSocket"] == {"port": "redis"} for probe in ("readinessProbe", "livenessProbe"))


def test_the_namespace_is_restricted():
    labels = find(rendered(POSTGRES), "Namespace", "mini-project")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_canary_takes_from_the_same_queue_at_another_version():
    objects = rendered("overlays/canary")
    stable, canary = container(objects, "Deployment", "worker"), container(objects, "Deployment", "worker-canary")
    assert stable["image"].split(":")[0] == canary["image"].split(":")[0] and stable["image"] != canary["image"]
    assert stable["env"] == canary["env"] and stable["envFrom"] == canary["envFrom"]


def test_the_email_worker_is_a_worker_with_its_own_queue():
    objects = rendered("overlays/production")
    worker, email = container(objects, "Deployment", "worker"), container(objects, "Deployment", "email-worker")
    assert email["image"] == worker["image"]
    own = {entry["name"]: entry.get("value") for entry in email["env"] if entry not in worker["env"]}
    assert own == {"WORKER_QUEUES": "email", "WORKER_HANDLERS": "/etc/taskrow/kinds.toml"}


def test_production_has_no_database_of_its_own_and_verifies_the_other():
    objects = rendered("overlays/production")
    assert not of_kind(objects, "StatefulSet") and settings(objects)["data"]["DATABASE_SSLMODE"] == "verify-full"


def test_production_asks_for_tokens_and_the_defaults_do_not():
    for root in ("overlays/production", "overlays/production-redis"):
        assert settings(rendered(root))["data"]["API_TOKENS_FILE"] == "/etc/taskrow-tokens/tokens.toml"
    for root in (POSTGRES, REDIS, "overlays/dev", "overlays/canary"):
        assert "API_TOKENS_FILE" not in settings(rendered(root))["data"]


def test_dev_is_small():
    objects = rendered("overlays/dev")
    assert all(thing["spec"]["replicas"] == 1 for thing in of_kind(objects, "Deployment", "StatefulSet"))
    assert find(objects, "Secret", "postgres-auth")
    for pod in pods(objects):
        if pod.owner["kind"] != "Job":
            assert pod.containers()[0]["resources"]["requests"] == {"cpu": "10m", "memory": "32Mi"}


def test_the_load_test_posts_a_thousand_tasks():
    spec = container(rendered("tests/load-test"), "Job", "load-test")
    assert spec["args"][0] == "load-test" and "--tasks=1000" in spec["args"] and "--url=http://api" in spec["args"]
