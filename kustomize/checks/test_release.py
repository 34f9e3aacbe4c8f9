"""Applying a release over the one before works without deleting anything by hand, and a change of settings rolls the pods."""

import re

import pytest
from copies import Copy
from manifests import KUSTOMIZE, find, label, of_kind, pods, rendered, roots, settings, tool

TAGS = "components/image-tags/kustomization.yaml"
# Roots that can be released again and again; the default overlays become so by two lines (tests/default-next-release).
RELEASED = [root for root in roots() if find(rendered(root), "Job", "db-init-1.0.0")]


@pytest.fixture
def copy(tmp_path):
    return Copy(tmp_path)


def immutable(thing):
    """The part of an object that the API server refuses to change."""
    spec = thing.get("spec", {})
    return {
        "Job": lambda: {key: value for key, value in spec.items() if key in ("template", "completions", "selector", "podFailurePolicy")},
        "Deployment": lambda: spec["selector"],
        "StatefulSet": lambda: [spec["selector"], spec["serviceName"], spec["volumeClaimTemplates"]],
        "PersistentVolumeClaim": lambda: spec,
    }.get(thing["kind"], lambda: None)()


def refused(before, after):
    return [label(thing) for thing in after
            if (old := find(before, thing["kind"], thing["metadata"]["name"])) and immutable(old) != immutable(thing)]


def next_release(copy):
    copy.change(TAGS, "newTag: 1.0.0", "newTag: 1.0.1")
    copy.change(TAGS, "newTag: 1.0.0", "newTag: 1.0.1")


def test_the_release_is_set_in_one_file_for_both_images():
    text = (KUSTOMIZE / TAGS).read_text()
    assert set(re.findall(r"name: (\S+)", text)) == {"ghcr.io/your-org/mini-api", "ghcr.io/your-org/mini-worker"}
    assert len(set(re.findall(r"newTag: (\S+)", text))) == 1


@pytest.mark.parametrize("root", RELEASED)
def test_a_release_changes_nothing_immutable_and_brings_its_own_migration(copy, root):
    before = copy.objects(root)
    next_release(copy)
    after = copy.objects(root)
    assert not refused(before, after)
    assert find(after, "Job", "db-init-1.0.1") and not find(after, "Job", "db-init-1.0.0")
    for pod in pods(after):
        image = pod.containers()[0]["image"]
        assert not image.startswith("ghcr.io/your-org/mini") or image.endswith(":1.0.1"), f"{pod.name}: {image}"


def test_the_default_overlays_take_their_second_release_with_two_lines(copy):
    for overlay in ("postgres-queue", "redis-queue"):
        root = f"overlays/{overlay}"
        before = copy.objects(root)
        for component in ("image-tags", "release-job-name"):
            copy.change(f"{root}/kustomization.yaml", f"# - ../../components/{component}", f"- ../../components/{component}")
    next_release(copy)
    after = copy.objects(root)
    assert not refused(before, after) and find(after, "Job", "db-init-1.0.1")
    assert find(after, "Deployment", "api")["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":1.0.1")


def test_the_default_overlays_alone_would_be_refused(copy):
    """Why the two lines: without them a new tag changes the template of the Job."""
    before = copy.objects("overlays/postgres-queue")
    copy.change("overlays/postgres-queue/kustomization.yaml", "# - ../../components/image-tags", "- ../../components/image-tags")
    next_release(copy)
    assert refused(before, copy.objects("overlays/postgres-queue")) == ["Job/db-init"]


@pytest.mark.parametrize("root", [root for root in roots() if settings(rendered(root))])
def test_a_setting_rolls_every_long_running_pod_and_leaves_the_migration_alone(copy, root):
    before = copy.objects(root)
    copy.change("base/kustomization.yaml", "RUST_LOG=info", "RUST_LOG=debug")
    after = copy.objects(root)
    assert not refused(before, after)
    for thing in of_kind(before, "Deployment"):
        new = find(after, "Deployment", thing["metadata"]["name"])
        rolled = thing["spec"]["template"] != new["spec"]["template"]
        assert rolled == (thing["metadata"]["name"] != "redis"), label(thing)


def test_switching_the_backend_changes_nothing_immutable():
    postgres, redis = rendered("overlays/postgres-queue"), rendered("overlays/redis-queue")
    assert not refused(postgres, redis) and not refused(redis, postgres)


def test_another_database_changes_nothing_immutable(copy):
    before = copy.objects("overlays/production")
    copy.change("components/postgres-external/database.env", "postgres.example.com", "db.example.com")
    assert not refused(before, copy.objects("overlays/production"))


def test_the_tool_is_the_one_of_the_virtual_environment():
    assert tool("kubectl").parent.parent.name == "kustomize-checks"
