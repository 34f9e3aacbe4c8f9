"""Everything renders without a warning, nothing lies about unused, and no mistake passes in silence."""

import pytest
import rules
import sources
from manifests import KUSTOMIZE, rendered, roots


@pytest.mark.parametrize("root", roots())
def test_renders_and_keeps_the_rules(root):
    problems = sources.problems(KUSTOMIZE / root) + rules.problems(rendered(root))
    assert not problems, "\n".join(problems)


def test_every_component_is_rendered_somewhere():
    used = {path for root in roots() for path in sources.closure(KUSTOMIZE / root)}
    unused = [str(path.parent.relative_to(KUSTOMIZE)) for path in KUSTOMIZE.glob("**/kustomization.yaml") if path.parent not in used]
    assert not unused, f"no overlay and no test uses {unused}"


def test_the_documented_overlays_and_components_are_there():
    overlays = {"postgres-queue", "redis-queue", "dev", "production", "production-redis", "canary"}
    components = {
        "postgres-statefulset", "postgres-external", "postgres-cnpg", "redis-queue", "redis-persistent", "email-worker", "canary-worker",
        "cleanup-cronjob", "load-test", "image-tags", "release-job-name", "hpa-api", "keda-postgres", "keda-redis", "pdb",
        "topology-spread", "monitoring", "network-policies", "dev-secret", "ingress", "kinds", "auth", "database-roles",
    }
    assert overlays == {path.parent.name for path in KUSTOMIZE.glob("overlays/*/kustomization.yaml")}
    assert components == {path.parent.name for path in KUSTOMIZE.glob("components/*/kustomization.yaml")}
