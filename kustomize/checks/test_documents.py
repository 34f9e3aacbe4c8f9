"""Documents and the Dockerfile say what the manifests do."""

import re

import pytest
from manifests import KUSTOMIZE, PROJECT, documented_metrics, documented_variables, find, rendered

GUIDE = (PROJECT / "docs/operations.md").read_text()
DOCUMENTS = [PROJECT / "docs/operations.md", KUSTOMIZE / "README.md", *sorted(KUSTOMIZE.glob("components/*/README.md"))]
DOCKERFILE = (PROJECT / "Dockerfile").read_text()


def test_every_component_has_a_short_readme():
    for path in KUSTOMIZE.glob("components/*/kustomization.yaml"):
        readme = path.parent / "README.md"
        assert readme.exists(), f"{path.parent.name} has no README.md"
        lines = readme.read_text().splitlines()
        assert lines[0] == f"# {path.parent.name}" and len(lines) <= 14, readme


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_variables_and_metrics_named_in_documents_exist(document):
    text = document.read_text()
    of_e2e = set(re.findall(r"^#   ([A-Z_]+) ", (KUSTOMIZE / "e2e.sh").read_text(), re.M))
    known = documented_variables() | of_e2e
    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", text)) <= known
    assert set(re.findall(r"taskrow_[a-z]+_[a-z_]+", text)) <= documented_metrics()


def test_every_alert_has_its_line_in_the_guide():
    rules = find(rendered("overlays/production"), "PrometheusRule", "taskrow")["spec"]["groups"][0]["rules"]
    assert not [rule["alert"] for rule in rules if f"`{rule['alert']}`" not in GUIDE]
    assert set(re.findall(r"`(Taskrow[A-Za-z]+)`", GUIDE)) == {rule["alert"] for rule in rules}


def test_every_drill_of_the_script_is_in_the_guide():
    drills = re.search(r"ALL_DRILLS=\(([^)]*)\)", (KUSTOMIZE / "e2e.sh").read_text()).group(1).split()
    table = GUIDE.split("## Drills")[1].split("## Troubleshooting")[0]
    words = {"rollout": "new version", "load-test": "load"}
    assert not [drill for drill in drills if f"| {words.get(drill, drill)} |" not in table]


def test_paths_in_the_guide_exist():
    for path in set(re.findall(r"kustomize/[a-z0-9/.-]*[a-z0-9]", GUIDE)):
        assert (PROJECT / path).exists(), path


def stage(target):
    return DOCKERFILE.split(f"FROM runtime AS {target}\n")[1].split("\nFROM ")[0]


@pytest.mark.parametrize(("target", "port", "binaries"), [("api", 8080, ["api"]), ("worker", 8081, ["worker", "migrate"])])
def test_images_are_what_the_manifests_start(target, port, binaries):
    text = stage(target)
    assert f'ENTRYPOINT ["/usr/local/bin/{target}"]' in text and f"EXPOSE {port}" in text
    copied = re.search(r"COPY --from=builder (.*) /usr/local/bin/", text).group(1).split()
    assert [path.rpartition("/")[2] for path in copied] == binaries
    assert f'org.opencontainers.image.title="mini-{target}"' in text
    pod = find(rendered("overlays/postgres-queue"), "Deployment", target)["spec"]["template"]["spec"]
    assert pod["containers"][0]["ports"][0]["containerPort"] == port
    runtime = DOCKERFILE.split("AS runtime\n")[1].split("\nFROM ")[0]
    user = f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
    assert f"USER {user}" in runtime and "USER" not in text
    command = find(rendered("overlays/postgres-queue"), "Job", "db-init")["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command == ["/usr/local/bin/migrate"]


def test_the_builder_is_no_newer_than_the_runtime():
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)[0].endswith("-slim-bookworm")
    assert "FROM gcr.io/distroless/cc-debian12:nonroot AS runtime" in DOCKERFILE


def test_the_builder_is_new_enough():
    wanted = re.search(r'rust-version = "([0-9.]+)"', (PROJECT / "Cargo.toml").read_text()).group(1)
    given = re.search(r"ARG RUST_VERSION=([0-9.]+)", DOCKERFILE).group(1)
    assert [int(part) for part in given.split(".")] >= [int(part) for part in wanted.split(".")]


def test_the_context_leaves_out_what_the_build_does_not_read():
    ignored = (PROJECT / ".dockerignore").read_text().split()
    members = re.search(r"members = \[([^\]]*)\]", (PROJECT / "Cargo.toml").read_text()).group(1).replace('"', "").split(", ")
    assert {"target", ".*", "kustomize"} <= set(ignored) and not set(members + ["migrations"]) & set(ignored)
