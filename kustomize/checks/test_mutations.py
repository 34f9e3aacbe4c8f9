"""The checks can fail: each of these mistakes is found, most of which kustomize and the API server would accept."""

import pytest
from copies import Copy
from manifests import KUSTOMIZE

Q, P, R, C = "overlays/postgres-queue", "overlays/production", "overlays/redis-queue", "tests/canary-release"
MISTAKES = {
    "a Service selects nothing": (Q, "base/api.yaml", "  selector:\n    app.kubernetes.io/name: api", "  selector:\n    app.kubernetes.io/name: apii", "selections: Service/api"),
    "a selector is not the template's": (Q, "base/worker.yaml", "matchLabels:\n      app.kubernetes.io/name: worker", "matchLabels:\n      app.kubernetes.io/name: wroker", "selectors: Deployment/worker: its selector does not match"),
    "a canary under the stable selector": (C, "components/canary-worker/worker-canary.yaml", "  template:\n    metadata:\n      labels:\n        app.kubernetes.io/name: worker-canary", "  template:\n    metadata:\n      labels:\n        app.kubernetes.io/name: worker", "selectors: Deployment/worker: its selector matches pods of Deployment/worker-canary"),
    "a component without namespace": (R, "components/redis-queue/kustomization.yaml", "namespace: mini-project", "", "namespace: components/redis-queue does not set"),
    "an object in another namespace": (Q, "base/kustomization.yaml", "namespace: mini-project", "namespace: default", "namespace: "),
    "latest": (Q, "base/api.yaml", "mini-api:1.0.0", "mini-api:latest", "images: Deployment/api"),
    "no tag": (R, "components/redis-queue/redis.yaml", "redis:7", "redis", "images: Deployment/redis"),
    "a typo in a patch's target": (P, "components/hpa-api/kustomization.yaml", "      name: api", "      name: apis", "silent: components/hpa-api: no object is the target"),
    "a typo in images": ("tests/canary-release", "components/canary-worker/kustomization.yaml", "- name: worker-canary", "- name: worker-canari", "silent: components/canary-worker: nothing uses the image"),
    "a typo in envFrom": (Q, "base/worker.yaml", "configMapRef:\n                name: settings", "configMapRef:\n                name: setings", "references: Deployment/worker: no ConfigMap setings"),
    "a key that no Secret has": (Q, "base/worker.yaml", "key: password", "key: pasword", "references: Deployment/worker: no key pasword"),
    "a variable that nobody reads": (Q, "base/api.yaml", "name: API_DRAIN_DELAY", "name: API_DRAIN_DELY", "variables: Deployment/api: no binary reads API_DRAIN_DELY"),
    "a setting that nobody reads": (R, "components/redis-queue/kustomization.yaml", "REDIS_ADDR=", "REDIS_ADDRESS=", "variables: ConfigMap/settings"),
    "own variable hides the switch": (R, "base/worker.yaml", "            - name: WORKER_CONCURRENCY\n", "            - name: QUEUE_BACKEND\n              value: postgres\n            - name: WORKER_CONCURRENCY\n", "one_switch: Deployment/worker: its own QUEUE_BACKEND hides"),
    "Redis without the switch": (R, "components/redis-queue/kustomization.yaml", "QUEUE_BACKEND=redis", "QUEUE_BACKEND=postgres", "one_switch: QUEUE_BACKEND is postgres"),
    "a database that is not there": (Q, "components/postgres-statefulset/database.env", "app@postgres:", "app@postgresql:", "one_switch: DATABASE_URL: nothing here is called postgresql"),
    "a password in the URL": (Q, "components/postgres-statefulset/database.env", "app@postgres:", "app:secret@postgres:", "one_switch: DATABASE_URL: a password"),
    "drain longer than the grace period": (Q, "base/worker.yaml", "value: 35s", "value: 55s", "grace: Deployment/worker"),
    "grace period too short": (Q, "base/api.yaml", "terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: 30", "grace: Deployment/api"),
    "liveness asks /ready": (Q, "base/api.yaml", "livenessProbe:\n            httpGet:\n              path: /live", "livenessProbe:\n            httpGet:\n              path: /ready", "probes: Deployment/api"),
    "a probe of a port that is not there": (Q, "base/worker.yaml", "              port: health", "              port: http", "ports: Deployment/worker: startupProbe"),
    "a Service port that is not there": (Q, "base/api.yaml", "targetPort: http", "targetPort: web", "ports: Service/api"),
    "a migration that follows the settings": (Q, "base/db-init.yaml", "configMapRef:\n                name: connection", "configMapRef:\n                name: settings", "migration: Job/db-init"),
    "root": (Q, "base/worker.yaml", "runAsUser: 65532", "runAsUser: 0", "restricted: Deployment/worker"),
    "a writable root": (Q, "base/api.yaml", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "restricted: Deployment/api"),
    "service links": (Q, "base/api.yaml", "enableServiceLinks: false", "enableServiceLinks: true", "restricted: Deployment/api: enableServiceLinks"),
    "no requests": (R, "components/redis-queue/redis.yaml", "              memory: 64Mi\n", "", "resources: Deployment/redis"),
    "a rollout that takes pods away": (Q, "base/api.yaml", "maxUnavailable: 0", "maxUnavailable: 1", "rollout: Deployment/api"),
    "replicas fight with the autoscaler": (P, "components/hpa-api/hpa.yaml", "    name: api\n  minReplicas", "    name: redis\n  minReplicas", "scaling: HorizontalPodAutoscaler/api: no Deployment redis"),
    "KEDA asks for another queue": (P, "components/email-worker/keda/email-worker.yaml", "taskrow.leases WHERE queue = 'email'", "taskrow.leases WHERE queue = 'default'", "scaling: ScaledObject/email-worker"),
    "spread before the worker it should reach": (C, "tests/canary-release/kustomization.yaml", "  - ../../components/canary-worker\n  - ../../components/pdb\n  - ../../components/email-worker/pdb\n  - ../../components/topology-spread\n", "  - ../../components/topology-spread\n  - ../../components/canary-worker\n  - ../../components/pdb\n  - ../../components/email-worker/pdb\n", "disruption: Deployment/worker-canary: not spread"),
    "a budget that blocks drains": (P, "components/pdb/pdb.yaml", "maxUnavailable: 1", "minAvailable: 2", "disruption: PodDisruptionBudget/api"),
    "a policy with the Service's port": (P, "components/network-policies/api.yaml", "port: http", "port: 80", "ports: NetworkPolicy/api"),
    "Redis out of reach": ("overlays/production-redis", "overlays/production-redis/kustomization.yaml", "  - ../../components/redis-queue/network-policy\n", "", "policies: Deployment/api: no policy lets it reach Redis"),
    "a mail server out of reach": (P, "overlays/production/kustomization.yaml", "  - ../../components/email-worker/network-policy\n", "", "policies: Deployment/email-worker: no policy lets it reach its mail server's port 587"),
    "a file of kinds that is not mounted": (P, "components/email-worker/email-worker.yaml", "/etc/taskrow/kinds.toml", "/etc/taskrow/kind.toml", "handlers: Deployment/email-worker"),
    "a map of kinds that is not there": (P, "components/email-worker/email-worker.yaml", "name: email-kinds", "name: email-kind", "references: Deployment/email-worker: no ConfigMap email-kind"),
    "a worker that misses the tokens": (P, "components/auth/kustomization.yaml", "in (api,worker)", "in (api)", "tokens: Deployment/email-worker: API_TOKENS_FILE names no file"),
    "a list of tokens that is not mounted": (P, "components/auth/tokens.yaml", "mountPath: /etc/taskrow-tokens", "mountPath: /etc/taskrow", "tokens: Deployment/api: API_TOKENS_FILE names no file"),
    "a list of tokens without its key": (P, "components/auth/tokens.yaml", "key: tokens.toml", "key: token.toml", "references: Deployment/api: no key token.toml"),
    "a monitor without a token": (P, "overlays/production/kustomization.yaml", "  - ../../components/auth/monitoring\n", "", "tokens: PodMonitor/api: has no token"),
    "a token that is not mounted": ("tests/load-test-auth", "components/auth/load-test/kustomization.yaml", "mountPath: /etc/taskrow-token", "mountPath: /etc/token", "tokens: Job/load-test: has no token"),
    "a metric that is not there": (P, "components/monitoring/rules.yaml", "taskrow_ready == 0", "taskrow_redy == 0", "metrics: PrometheusRule/taskrow: there is no metric taskrow_redy"),
    "a monitor of a port that is not there": (P, "components/monitoring/pod-monitors.yaml", "port: health", "port: metrics", "ports: PodMonitor/worker"),
    "a secret in the manifests": ("overlays/dev", "components/dev-secret/kustomization.yaml", "password=dev-only", "password=hunter2", "secrets: Secret/postgres-auth"),
    "a worker that goes on as the owner": (P, "overlays/production/kustomization.yaml", "  - ../../components/email-worker/database-role\n", "", "roles: Deployment/email-worker: db-init makes no role None"),
    "a role that nobody makes": (P, "components/database-roles/db-init.yaml", "value: taskrow_api", "value: taskrow_app", "roles: Deployment/api: db-init makes no role taskrow_api"),
    "a role with another's password": (P, "components/database-roles/db-init.yaml", "value: /etc/postgres-api/password", "value: /etc/postgres-worker/password", "roles: Deployment/api: its password is from postgres-api"),
    "an object without labels": (P, "components/network-policies/dns.yaml", "    app.kubernetes.io/part-of: mini-project\n", "", "labels: NetworkPolicy/dns"),
    "a file that is not there": (Q, "base/kustomization.yaml", "- worker.yaml", "- workers.yaml", "unrenderable"),
    "a deprecated field, which only warns": (Q, "overlays/postgres-queue/kustomization.yaml", "components:", "commonLabels:\n  a: b\ncomponents:", "unrenderable"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_found(tmp_path, name):
    root, file, old, new, expected = MISTAKES[name]
    copy = Copy(tmp_path)
    copy.change(file, old, new)
    problems = copy.problems(root)
    assert any(problem.startswith(expected) for problem in problems), f"not found; found instead: {problems}"


def test_an_unchanged_copy_has_no_mistakes(tmp_path):
    copy = Copy(tmp_path)
    for root in sorted({mistake[0] for mistake in MISTAKES.values()}):
        assert not copy.problems(root)


def test_mistakes_name_files_that_exist():
    assert all((KUSTOMIZE / mistake[1]).exists() for mistake in MISTAKES.values())
